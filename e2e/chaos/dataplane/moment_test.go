// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/macpool/macpool/e2e/lab"
)

// The columns of the fault matrix, as they can be told apart from outside: before the journal of the node has the container; after
// it, and before the link has the leased MAC; while the link has it, and ADD has not returned; after that; in a DEL. What
// comes before and after depends on more than one call, and is known to who makes it so.
const (
	beforeCommit = "m0-m1"
	committed    = "m2"
	linked       = "m3-m4"
	running      = "m5-m6"
	detaching    = "m7"
	collecting   = "m8-m9"
)

var inADD = []string{beforeCommit, committed, linked}

// flight is a call that is under way.
type flight struct {
	call *lab.Call
	a    *attempt
}

// flights are the calls under way on a host.
func (t *truth) flightsOn(h *host) []flight {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []flight
	for c, a := range t.flights {
		if a.host == h.Node {
			all = append(all, flight{c, a})
		}
	}
	return all
}

func (t *truth) flying(f flight) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.flights[f.call] != nil
}

// moment is where a call is.
func (w *world) moment(h *host, f flight) string {
	switch {
	case f.call.Command == "DEL":
		return detaching
	case f.call.Command != "ADD" || !w.truth.flying(f):
		return running
	}
	interfaces, err := f.a.sandbox.Interfaces()
	if err != nil {
		return ""
	}
	for _, i := range interfaces {
		if i.Name == f.a.net.Interface && w.ours(i.MAC) != nil {
			return linked
		}
	}
	if h.journalHas(f.a.sandbox.ID) {
		return committed
	}
	return beforeCommit
}

// journalHas looks whether the agent has written a container down, near the end of its journal.
func (h *host) journalHas(container string) bool {
	f, err := os.Open(filepath.Join(h.StateDir(), "journal"))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	const tail = 32 << 10
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, size-tail), io.SeekStart)
	}
	text, _ := io.ReadAll(f)
	return bytes.Contains(text, []byte(container))
}

// catch waits until a call on the host is at a moment.
func (w *world) catch(h *host, moment string, limit time.Duration) (flight, bool) {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		flights := w.truth.flightsOn(h)
		for _, f := range flights {
			if w.moment(h, f) == moment {
				return f, true
			}
		}
		// Some moments last for a millisecond or two.
		if len(flights) == 0 {
			time.Sleep(2 * time.Millisecond)
		} else {
			time.Sleep(300 * time.Microsecond)
		}
	}
	return flight{}, false
}

// processes are the plugins of a call: those that its caller has started, and their children. A main plugin's child is its IPAM plugin, which
// is macpool; macpool's own entry in the chain has no children.
func (h *host) processes(f flight) (mains []lab.PluginProcess, ours []int) {
	for _, p := range h.Plugins() {
		if p.ContainerID != f.a.sandbox.ID || p.Interface != f.a.net.Interface {
			continue
		}
		if p.Plugin == "macpool" {
			ours = append(ours, p.PID)
			continue
		}
		mains = append(mains, p)
		ours = append(ours, p.Children()...)
	}
	return mains, ours
}

// killOurs kills the plugin macpool in a call, and tells whether there was one.
func (h *host) killOurs(f flight) bool {
	_, ours := h.processes(f)
	for _, pid := range ours {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return len(ours) > 0
}

// killMain kills the main plugin of a call, as libcni does when time is up; its IPAM plugin goes on.
func (h *host) killMain(f flight) bool {
	mains, _ := h.processes(f)
	for _, p := range mains {
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
	}
	return len(mains) > 0
}

// stopAll stops all plugins of a call where they are, or lets them go on.
func (h *host) signalAll(f flight, s syscall.Signal) int {
	mains, pids := h.processes(f)
	for _, p := range mains {
		pids = append(pids, p.PID)
	}
	slices.Sort(pids)
	pids = slices.Compact(pids)
	for _, pid := range pids {
		_ = syscall.Kill(pid, s)
	}
	return len(pids)
}

// command is the name of a process's program.
func command(pid string) string {
	text, _ := os.ReadFile(filepath.Join("/proc", pid, "comm"))
	return strings.TrimSpace(string(text))
}
