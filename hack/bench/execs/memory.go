// SPDX-License-Identifier: Apache-2.0

package execs

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/hack/bench/rig"
)

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
func (c *candidate) watch(ctx context.Context, verb string, env []string) (m rig.Memory, err error) {
	// A debugger is a thread, not a process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd, stdout := c.command(ctx, verb, env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return m, err
	}
	m, err = toTheEnd(cmd.Process.Pid)
	if err != nil {
		return m, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	err = cmd.Wait() // after which its output is complete
	return m, c.judge(verb, stdout.Bytes(), err)
}

// toTheEnd lets the process, which was stopped by its exec, run until it exits.
func toTheEnd(pid int) (m rig.Memory, err error) {
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
		return m, fmt.Errorf("waiting for its exec: %w", err)
	}
	if err := unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACEEXIT); err != nil {
		return m, fmt.Errorf("asking for its exit: %w", err)
	}
	for signal := 0; ; {
		if err := unix.PtraceCont(pid, signal); err != nil {
			return m, fmt.Errorf("letting it go on: %w", err)
		}
		if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
			return m, fmt.Errorf("waiting for its exit: %w", err)
		}
		if !status.Stopped() {
			return m, errors.New("it ended unseen")
		}
		if status.TrapCause() == unix.PTRACE_EVENT_EXIT {
			m, err = rig.MemoryOf(pid)
			return m, errors.Join(err, unix.PtraceDetach(pid))
		}
		signal = int(status.StopSignal()) // one of its own, which it gets: Go's scheduler sends itself SIGURG
	}
}
