// SPDX-License-Identifier: Apache-2.0

package execs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/macpool/macpool/hack/bench/measure"
)

// spent is what one process has used.
type spent struct {
	cpu, wall      time.Duration
	faults, yields int64
}

// cost are what all processes of one plugin and verb have used.
type cost struct {
	cpu, wall, faults, yields *measure.Series
}

func newCost(name string) *cost {
	return &cost{
		cpu:    &measure.Series{Name: name + ": CPU", Unit: "ms"},
		wall:   &measure.Series{Name: name + ": time", Unit: "ms"},
		faults: &measure.Series{Name: name + ": page faults", Unit: "faults"},
		yields: &measure.Series{Name: name + ": context switches", Unit: "switches"},
	}
}

func (c *cost) add(round int, s *spent) {
	c.cpu.Add(round, ms(s.cpu))
	c.wall.Add(round, ms(s.wall))
	c.faults.Add(round, float64(s.faults))
	c.yields.Add(round, float64(s.yields))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// cycle calls the plugin with each verb once, as one pod does, and tells of each call.
func (c *candidate) cycle(ctx context.Context, p *pod, env []string, tell func(verb string, s *spent)) error {
	for _, verb := range verbs {
		if err := p.prepare(verb); err != nil {
			return err
		}
		s, err := c.call(ctx, verb, env)
		if err != nil {
			return err
		}
		tell(verb, s)
	}
	return nil
}

// call runs the plugin. What the process has used the kernel counts for itself, whatever else runs.
func (c *candidate) call(ctx context.Context, verb string, env []string) (*spent, error) {
	cmd, stdout := c.command(ctx, verb, env)
	begun := time.Now()
	err := cmd.Run()
	wall := time.Since(begun)
	if err := c.judge(verb, stdout.Bytes(), err); err != nil {
		return nil, err
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return nil, errors.New("the kernel has not told what the process has used")
	}
	return &spent{
		cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), wall: wall,
		faults: usage.Minflt + usage.Majflt, yields: usage.Nvcsw + usage.Nivcsw,
	}, nil
}

func (c *candidate) command(ctx context.Context, verb string, env []string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.CommandContext(ctx, c.path) //nolint:gosec // one of the candidates
	cmd.Env = append([]string{"CNI_COMMAND=" + verb}, env...)
	stdout := &bytes.Buffer{}
	cmd.Stdout = stdout
	if verb != "VERSION" {
		cmd.Stdin = strings.NewReader(c.conf)
	}
	return cmd, stdout
}

// judge tells whether the plugin did what it was called for: one that fails is quick.
func (c *candidate) judge(verb string, stdout []byte, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w, it printed %s", verb, err, stdout)
	}
	want := ""
	switch {
	case verb == "VERSION":
		want = `"supportedVersions"`
	case verb == "ADD" && c.answers:
		want = `"192.168.50.`
	}
	if !bytes.Contains(stdout, []byte(want)) {
		return fmt.Errorf("%s: it printed %s", verb, stdout)
	}
	return nil
}
