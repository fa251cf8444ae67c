// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/macpool/macpool/hack/bench/measure"
)

// machine is what a reader has to know of the machine, a line each: nothing that names it.
func machine(ctx context.Context, assets string) []string {
	return []string{
		fmt.Sprintf("%d cores%s%s, %s, Linux %s", runtime.NumCPU(), cpuModel(), memory(), governor(), release()),
		fmt.Sprintf("%s, Kubernetes %s, etcd %s", runtime.Version(), versionOf(ctx, assets, "kube-apiserver"), versionOf(ctx, assets, "etcd")),
	}
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		// Some architectures have no such line.
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return " of " + strings.TrimSpace(value)
		}
	}
	return ""
}

func memory() string {
	text, _ := os.ReadFile("/proc/meminfo")
	var kib int64
	if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kib); err != nil {
		return ""
	}
	return fmt.Sprintf(", %d GiB", (kib+1<<19)>>20)
}

// governor is how the kernel chooses the frequency of the cores: one that saves energy makes short bursts slow.
func governor() string {
	text, err := os.ReadFile("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
	if err != nil {
		return "frequency not in the kernel's hands"
	}
	return "governor " + strings.TrimSpace(string(text))
}

func release() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	version, _, _ := strings.Cut(strings.TrimSpace(string(text)), "-")
	return version
}

// versionOf is what a program of the control plane says in the first line, behind its name.
func versionOf(ctx context.Context, assets, program string) string {
	out, err := exec.CommandContext(ctx, filepath.Join(assets, program), "--version").Output() //nolint:gosec // G204: the laboratory's
	if err != nil {
		return "of an unknown version"
	}
	line, _, _ := strings.Cut(string(bytes.TrimSpace(out)), "\n")
	return line[strings.LastIndexByte(line, ' ')+1:]
}

// load is the average of the last minute.
func load() float64 {
	text, _ := os.ReadFile("/proc/loadavg")
	var one float64
	_, _ = fmt.Sscan(string(text), &one)
	return one
}

// busy is the load from which on other processes get into the figures of a machine of few cores.
const busy = 1

// warning says that the machine is busy, if it is.
func warning(load float64) string {
	if load <= busy {
		return ""
	}
	return fmt.Sprintf("The machine was busy before the run, with a load of %.1f: times are worth little, ratios some.", load)
}

// conditions are what may differ from run to run: how busy the machine was before, and what its disk can do.
func conditions(before float64, kind string, syncs *measure.Series) string {
	text := fmt.Sprintf("Measured on %s. Load before the run: %.2f. An append of 4 KiB with its fsync took %.3g ms (median of %d) where state was kept, on %s.",
		time.Now().Format(time.DateOnly), before, syncs.Quantile(0.5), len(syncs.Rounds[0]), kind)
	if w := warning(before); w != "" {
		text += " **" + w + "**"
	}
	if kind == inMemory {
		text += " **An fsync costs nothing there: say OUT= of a directory on a disk.**"
	}
	return text
}

// fsyncs measures what an append of a journal costs in a directory, in ms.
func fsyncs(dir string) (*measure.Series, error) {
	const (
		count = 100
		size  = 4 << 10
	)
	s := &measure.Series{Name: "append of 4 KiB with fsync, before the section", Unit: "ms"}
	f, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return nil, fmt.Errorf("measuring fsync: %w", err)
	}
	defer func() { _, _ = f.Close(), os.Remove(f.Name()) }()
	page := make([]byte, size)
	for range count {
		begin := time.Now()
		if _, err := f.Write(page); err != nil {
			return nil, fmt.Errorf("measuring fsync: %w", err)
		}
		if err := f.Sync(); err != nil {
			return nil, fmt.Errorf("measuring fsync: %w", err)
		}
		s.Add(0, float64(time.Since(begin).Microseconds())/1000)
	}
	return s, nil
}

// inMemory is the kind of a file system that keeps nothing.
const inMemory = "tmpfs"

// fileSystem is the kind of the one that a directory is on, as its mount says.
func fileSystem(dir string) string {
	mounts, err := os.Open("/proc/self/mounts")
	if err != nil {
		return "an unknown file system"
	}
	defer func() { _ = mounts.Close() }()
	kind, longest := "an unknown file system", -1
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 {
			continue
		}
		// A later mount hides an earlier one on the same directory.
		at := strings.TrimSuffix(fields[1], "/")
		if (dir == at || strings.HasPrefix(dir, at+"/")) && len(at) >= longest {
			kind, longest = fields[2], len(at)
		}
	}
	return kind
}
