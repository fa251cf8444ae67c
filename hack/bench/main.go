// SPDX-License-Identifier: Apache-2.0

// Bench prints what the plugin costs beside a plugin that does nothing: its size, the packages that it links, and its CPU
// time per exec. Run it with make bench. The numbers depend on the machine and on what else it does; nothing is asserted.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

const (
	rounds = 7
	execs  = 100
)

// candidate is a plugin to measure.
type candidate struct {
	name, pkg string

	path     string
	size     int64
	packages int
	// perExec is user and system time, the mean of each round.
	perExec []time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) //nolint:forbidigo // a program's main has no caller
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "macpool-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	candidates := []*candidate{
		{name: "macpool", pkg: "github.com/macpool/macpool/cmd/macpool"},
		{name: "skel only", pkg: "github.com/macpool/macpool/hack/bench/skelonly"},
	}
	for _, c := range candidates {
		if err := c.build(ctx, dir); err != nil {
			return fmt.Errorf("building %s: %w", c.name, err)
		}
	}
	// Round by round in turn, so that what else the machine does meanwhile meets both.
	for range rounds {
		for _, c := range candidates {
			if err := c.round(ctx); err != nil {
				return fmt.Errorf("running %s: %w", c.name, err)
			}
		}
	}
	return table(out, candidates)
}

// build makes the plugin as it is released.
func (c *candidate) build(ctx context.Context, dir string) error {
	install := exec.CommandContext(ctx, "go", "install", "-trimpath", "-ldflags", "-s -w", c.pkg) //nolint:gosec // the packages above
	install.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+dir)
	install.Stderr = os.Stderr
	if err := install.Run(); err != nil {
		return err
	}
	c.path = filepath.Join(dir, filepath.Base(c.pkg))
	info, err := os.Stat(c.path)
	if err != nil {
		return err
	}
	c.size = info.Size()
	list := exec.CommandContext(ctx, "go", "list", "-deps", c.pkg) //nolint:gosec // the packages above
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	deps, err := list.Output()
	if err != nil {
		return err
	}
	c.packages = bytes.Count(deps, []byte("\n"))
	return nil
}

// round runs the plugin many times with a verb that needs neither input nor agent.
func (c *candidate) round(ctx context.Context) error {
	var cpu time.Duration
	for range execs {
		cmd := exec.CommandContext(ctx, c.path) //nolint:gosec // built above
		cmd.Env = append(os.Environ(), "CNI_COMMAND=VERSION")
		if err := cmd.Run(); err != nil {
			return err
		}
		cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	c.perExec = append(c.perExec, cpu/execs)
	return nil
}

func table(out io.Writer, candidates []*candidate) error {
	_, err := fmt.Fprintf(out, "CPU time is user and system, CNI_COMMAND=VERSION, %d rounds of %d execs each in turn.\n\n", rounds, execs)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	rows := [][]any{{"plugin", "size", "packages", "CPU per exec: median", "least", "most"}}
	for _, c := range candidates {
		slices.Sort(c.perExec)
		rows = append(rows, []any{
			c.name, fmt.Sprintf("%.2f MB", float64(c.size)/1e6), c.packages, ms(c.perExec[rounds/2]), ms(c.perExec[0]), ms(c.perExec[rounds-1]),
		})
	}
	for _, row := range rows {
		if _, err := fmt.Fprintf(w, "%v\t%v\t%v\t%v\t%v\t%v\t\n", row...); err != nil {
			return err
		}
	}
	return w.Flush()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }
