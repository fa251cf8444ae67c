// SPDX-License-Identifier: Apache-2.0

package execs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// memory is what a process had in memory when it ended.
type memory struct {
	peak      int64 // KiB, the most at any time
	anonymous int64 // KiB, of its own: the rest is the program's file, which all processes share
}

// weigh calls the plugin with each verb once more, and looks at its memory. The kernel's own figure, of getrusage, is of no use: a process
// begins as a copy of the one that starts it, and keeps that one's peak.
func (c *candidate) weigh(ctx context.Context, p *pod, env []string) error {
	for _, verb := range verbs {
		if err := p.prepare(verb); err != nil {
			return err
		}
		m, err := c.watch(ctx, verb, env)
		if err != nil {
			return fmt.Errorf("%s: %w", verb, err)
		}
		c.peaks[verb] = m
	}
	return nil
}

// watch runs the plugin as a debugger would, which is stopped when it ends and before its memory goes. Never in a timed call.
func (c *candidate) watch(ctx context.Context, verb string, env []string) (*memory, error) {
	// A debugger is a thread, not a process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd, stdout := c.command(ctx, verb, env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	m, err := toTheEnd(cmd.Process.Pid)
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	err = cmd.Wait() // after which its output is complete
	return m, c.judge(verb, stdout.Bytes(), err)
}

// toTheEnd lets the process, which was stopped by its exec, run until it exits.
func toTheEnd(pid int) (*memory, error) {
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
		return nil, fmt.Errorf("waiting for its exec: %w", err)
	}
	if err := unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACEEXIT); err != nil {
		return nil, fmt.Errorf("asking for its exit: %w", err)
	}
	for signal := 0; ; {
		if err := unix.PtraceCont(pid, signal); err != nil {
			return nil, fmt.Errorf("letting it go on: %w", err)
		}
		if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
			return nil, fmt.Errorf("waiting for its exit: %w", err)
		}
		if !status.Stopped() {
			return nil, errors.New("it ended unseen")
		}
		if status.TrapCause() == unix.PTRACE_EVENT_EXIT {
			m, err := memoryOf(pid)
			return m, errors.Join(err, unix.PtraceDetach(pid))
		}
		signal = int(status.StopSignal()) // one of its own, which it gets: Go's scheduler sends itself SIGURG
	}
}

func memoryOf(pid int) (*memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, err
	}
	m := &memory{}
	fields := map[string]*int64{"VmHWM:": &m.peak, "RssAnon:": &m.anonymous}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 || fields[words[0]] == nil {
			continue
		}
		if _, err := fmt.Sscan(words[1], fields[words[0]]); err != nil {
			return nil, fmt.Errorf("reading %q: %w", line, err)
		}
	}
	if m.peak == 0 || m.anonymous == 0 {
		return nil, errors.New("its memory is gone")
	}
	return m, nil
}
