// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"strings"
	"sync"
	"time"

	"github.com/macpool/macpool/e2e/chaos/oracle"
	"github.com/macpool/macpool/e2e/lab"
)

// unit is a process that comes back by itself after it was killed, as a kubelet or systemd makes it.
type unit struct {
	name  string
	start func() (*lab.Process, error)
	// own: it may end by itself, as a manager does that has lost its leadership.
	own bool

	mu     sync.Mutex
	proc   *lab.Process
	kills  int
	down   bool // killed, and not started again yet
	gone   bool // not to be started again
	paused int
}

// newUnit starts the process, and watches over it.
func (w *world) newUnit(name string, own bool, start func() (*lab.Process, error)) (*unit, error) {
	u := &unit{name: name, start: start, own: own}
	var err error
	if u.proc, err = start(); err != nil {
		return nil, err
	}
	w.background.Go(func() { w.watch(u) })
	return u, nil
}

// watch starts the process again when it has ended by itself, and says so.
func (w *world) watch(u *unit) {
	for w.pause(200 * time.Millisecond) {
		u.mu.Lock()
		if u.gone {
			u.mu.Unlock()
			return
		}
		ended := !u.down && !u.proc.Running()
		if ended {
			tail := u.proc.Tail(30)
			if !u.own || strings.Contains(tail, "panic:") || strings.Contains(tail, "fatal error:") {
				w.violation(oracle.Violation{Kind: "process ended", Text: u.name + " ended by itself:\n" + tail})
			}
			w.startLocked(u)
		}
		u.mu.Unlock()
	}
}

func (w *world) startLocked(u *unit) {
	proc, err := u.start()
	if err != nil {
		w.violation(oracle.Violation{Kind: "process ended", Text: "starting " + u.name + ": " + err.Error()})
		return
	}
	u.proc = proc
}

// kill ends the process with SIGKILL, does what is to be done while it is away, and starts it again. It returns when it is dead;
// false if it was down already.
func (w *world) kill(u *unit, hold time.Duration, meanwhile func()) bool {
	u.mu.Lock()
	if u.down || u.gone {
		u.mu.Unlock()
		return false
	}
	u.down = true
	u.kills++
	proc := u.proc
	u.mu.Unlock()
	proc.Kill()
	w.background.Go(func() {
		if meanwhile != nil {
			meanwhile()
		}
		w.pause(hold)
		w.revive(u)
	})
	return true
}

// revive starts a process that was killed, if nobody has yet.
func (w *world) revive(u *unit) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.down && !u.gone && w.ctx.Err() == nil {
		u.down = false
		w.startLocked(u)
	}
}

// stop pauses the process with SIGSTOP for a while.
func (w *world) stop(u *unit, d time.Duration) bool {
	u.mu.Lock()
	if u.down || u.gone {
		u.mu.Unlock()
		return false
	}
	proc := u.proc
	u.paused++
	u.mu.Unlock()
	proc.Pause()
	w.background.Go(func() {
		w.pause(d)
		u.mu.Lock()
		u.paused--
		last, now := u.paused == 0, u.proc
		u.mu.Unlock()
		if last {
			proc.Resume()
			now.Resume() // it was killed meanwhile, and its successor paused as well
		}
	})
	return true
}

// renew starts a second process beside the first, which is told to end: an upgrade.
func (w *world) renew(u *unit) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.down || u.gone || u.paused > 0 {
		return false
	}
	old := u.proc
	w.startLocked(u)
	w.background.Go(func() { _ = old.Stop(w.ctx) })
	return true
}

// retire ends it for good.
func (w *world) retire(u *unit) {
	u.mu.Lock()
	u.gone = true
	proc := u.proc
	u.mu.Unlock()
	proc.Resume()
	proc.Kill()
}

// up tells whether the process runs and is not paused.
func (u *unit) up() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.down && u.paused == 0 && u.proc.Running()
}

// alive tells whether the process runs, or is only paused.
func (u *unit) alive() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.down && u.proc.Running()
}
