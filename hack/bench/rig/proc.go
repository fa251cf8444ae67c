// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is 1/USER_HZ, which is 100 on every architecture that Kubernetes runs on.
const tick = 10 * time.Millisecond

// CPUSeconds is what the processes of the laboratory have used so far, by the names of their programs. Processes that have ended are missing:
// take it while they all live, before and after.
func CPUSeconds() map[string]float64 {
	used := map[string]float64{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path) //nolint:gosec // a path of /proc
		if err != nil {
			continue // it has ended
		}
		if name, cpu, err := parseStat(text); err == nil {
			used[name] += cpu.Seconds()
		}
	}
	return used
}

// CPUOf is what a process has used, itself and in the kernel.
func CPUOf(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("asking what a process has used: %w", err)
	}
	_, cpu, err := parseStat(text)
	return cpu, err
}

var errStat = errors.New("a stat of /proc has no times")

// parseStat reads the program's name, which may hold anything, and user and system time: the twelfth and thirteenth field after it.
func parseStat(text []byte) (name string, cpu time.Duration, err error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return "", 0, errStat
	}
	fields := bytes.Fields(text[end+1:])
	if len(fields) < 13 {
		return "", 0, errStat
	}
	user, errUser := strconv.Atoi(string(fields[11]))
	system, errSystem := strconv.Atoi(string(fields[12]))
	if errUser != nil || errSystem != nil {
		return "", 0, errStat
	}
	return string(text[open+1 : end]), time.Duration(user+system) * tick, nil
}

// Memory is what a process has of it, in octets: in all, without what is a file's, and at most so far.
type Memory struct{ Resident, Anonymous, Peak float64 }

// MemoryOf is that of a process that has not ended.
func MemoryOf(pid int) (Memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, fmt.Errorf("reading what a process takes: %w", err)
	}
	return parseStatus(string(text))
}

func parseStatus(text string) (m Memory, err error) {
	to := map[string]*float64{"VmRSS:": &m.Resident, "RssAnon:": &m.Anonymous, "VmHWM:": &m.Peak}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || to[fields[0]] == nil {
			continue
		}
		kib, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return m, fmt.Errorf("reading what a process takes: %w", err)
		}
		*to[fields[0]] = kib * 1024
	}
	if m.Resident == 0 || m.Anonymous == 0 || m.Peak == 0 {
		return m, errors.New("reading what a process takes: its memory is gone")
	}
	return m, nil
}

// Pause waits for d, unless ctx ends.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
