// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/macpool/macpool/e2e/lab"
)

// strike is something that is done to a host.
type strike struct {
	id, class string
	moments   []string
	// whole: it is done to the host as a whole, and nothing else is meanwhile.
	whole bool
	// do does it when the moment is there, by the call f if it is one of a call. It tells at which moment it was done in the
	// end, "" if it was not. For a whole host, it has made good again what it has done when it returns.
	do func(s *striker, h *host, f flight, moment string) string
}

// striker does things to hosts.
type striker struct {
	*world

	ctx    context.Context //nolint:containedctx // until things shall be at rest
	rng    *rand.Rand
	churn  *churn
	counts *tally
}

var anyCall = append(slices.Clone(inADD), detaching)

var everywhere = append(slices.Clone(anyCall), running, collecting)

// light are what happens to one call, or to one pod.
var light = []*strike{
	{id: "F1", class: "plugin SIGKILL", moments: anyCall, do: func(s *striker, h *host, f flight, m string) string {
		if !h.killOurs(f) {
			return ""
		}
		return s.frozen(h, f, m)
	}},
	{id: "F2", class: "main plugin SIGKILL, as at the runtime's deadline", moments: anyCall, do: func(s *striker, h *host, f flight, m string) string {
		if !h.killMain(f) {
			return ""
		}
		return s.frozen(h, f, m)
	}},
	{id: "F12", class: "plugins SIGSTOP for up to 2 s", moments: anyCall, do: func(s *striker, h *host, f flight, m string) string {
		if h.signalAll(f, syscall.SIGSTOP) == 0 {
			return ""
		}
		at := s.frozen(h, f, m)
		s.pause(time.Duration(s.rng.IntN(2000)) * time.Millisecond)
		h.signalAll(f, syscall.SIGCONT)
		return at
	}},
	{id: "F16", class: "force delete during a call", moments: anyCall, do: func(s *striker, h *host, f flight, m string) string {
		return s.forceDelete(h, f, m)
	}},
	{id: "F18", class: "ADD held up until its pod was replaced", moments: inADD, do: func(s *striker, h *host, f flight, m string) string {
		if h.signalAll(f, syscall.SIGSTOP) == 0 {
			return ""
		}
		defer func() { h.signalAll(f, syscall.SIGCONT) }()
		at := s.frozen(h, f, m)
		if s.forceDelete(h, f, m) == "" {
			return ""
		}
		s.pause(time.Duration(300+s.rng.IntN(2500)) * time.Millisecond)
		return at
	}},
	{id: "F19", class: "DEL three times, and of what was never there", moments: []string{detaching}, do: func(_ *striker, h *host, f flight, m string) string {
		for range 2 {
			_ = h.Runtime.StopPodSandbox(context.Background(), f.a.sandbox.ID)
		}
		_ = h.Runtime.StopPodSandbox(context.Background(), "0123456789abcdef")
		_ = h.Runtime.AgainDEL(f.a.sandbox)
		return m
	}},
	{id: "F20", class: "DEL lost, pod gone", moments: []string{collecting}, do: func(s *striker, h *host, _ flight, m string) string {
		if !s.loseDEL(h) {
			return ""
		}
		return m
	}},
	{id: "M29", class: "Multus' and libcni's caches lost", moments: []string{running}, do: func(s *striker, h *host, _ flight, m string) string {
		for _, sandbox := range h.Runtime.Sandboxes() {
			if s.rng.IntN(4) == 0 {
				h.Runtime.LoseMultusCache(sandbox)
				sandbox.LoseResults()
			}
		}
		return m
	}},
	{id: "F34", class: "sandbox forgotten by its runtime, its interfaces up for up to 3 s", moments: []string{running}, do: func(s *striker, h *host, _ flight, _ string) string {
		sandbox := s.someSandbox(h)
		if sandbox == nil {
			return ""
		}
		h.Runtime.Leak(sandbox)
		h.Kubelet.Restart(sandbox.UID)
		s.pause(time.Duration(s.rng.IntN(3000)) * time.Millisecond)
		_ = sandbox.Destroy()
		return linked // it meets the next sandbox's ADD there
	}},
}

// heavy are what happens to a whole host.
var heavy = []*strike{
	{id: "F3", class: "agent SIGKILL", moments: everywhere, whole: true, do: func(s *striker, h *host, _ flight, m string) string {
		h.Agent.Kill()
		s.pause(s.upTo(1500 * time.Millisecond))
		s.startAgent(h)
		return m
	}},
	{id: "F40", class: "agent replaced", moments: append(slices.Clone(anyCall), running), whole: true, do: func(s *striker, h *host, _ flight, m string) string {
		_ = h.Agent.Stop(s.world.ctx)
		s.startAgent(h)
		return m
	}},
	{id: "F37", class: "agent SIGKILL, and its journal torn", moments: append(slices.Clone(anyCall), running), whole: true, do: func(s *striker, h *host, _ flight, m string) string {
		h.Agent.Kill()
		s.tearJournal(h)
		s.startAgent(h)
		return m
	}},
	{id: "F12", class: "agent SIGSTOP", moments: everywhere, whole: true, do: func(s *striker, h *host, _ flight, m string) string {
		h.set(func(h *host) { h.paused = true })
		h.Agent.Pause()
		s.pause(s.hold(3 * time.Second))
		h.Agent.Resume()
		h.set(func(h *host) { h.paused = false })
		return m
	}},
	{id: "F4", class: "power cut", moments: everywhere, whole: true, do: func(s *striker, h *host, _ flight, m string) string {
		s.powerOff(h)
		s.pause(s.upTo(3 * time.Second))
		s.powerOn(h)
		return m
	}},
	{id: "F14", class: "node cut off from the API", moments: everywhere, whole: true, do: func(s *striker, h *host, _ flight, m string) string {
		h.API.Cut()
		s.pause(s.hold(3 * time.Second))
		h.API.Heal()
		return m
	}},
	{id: "F15", class: "node cut off altogether", moments: everywhere, whole: true, do: func(s *striker, h *host, _ flight, m string) string {
		h.API.Cut()
		s.unplug(h)
		s.pause(s.hold(3 * time.Second))
		s.plug(h)
		h.API.Heal()
		return m
	}},
	{id: "F15", class: "node's cable pulled, the API reachable", moments: everywhere, whole: true, do: func(s *striker, h *host, _ flight, m string) string {
		s.unplug(h)
		s.pause(s.upTo(3 * time.Second))
		s.plug(h)
		return m
	}},
	{id: "F2", class: "container runtime SIGKILL", moments: append(slices.Clone(anyCall), running), whole: true, do: func(s *striker, h *host, _ flight, m string) string {
		h.Runtime.Kill()
		s.pause(s.upTo(time.Second))
		if err := h.Runtime.Start(s.world.ctx); err != nil {
			s.violate(other, "starting the runtime of %s: %v", h.Name, err)
		}
		// What it has left behind goes at last: an operator, or a reboot.
		leaked := h.Runtime.Leaked()
		s.pause(s.upTo(2 * time.Second))
		for _, sandbox := range leaked {
			_ = sandbox.Destroy()
		}
		return m
	}},
	{id: "F2", class: "Multus daemon SIGKILL", moments: append(slices.Clone(anyCall), running), whole: true, do: func(s *striker, h *host, _ flight, m string) string {
		if h.Runtime.Personality.Multus != lab.MultusThick {
			return ""
		}
		h.Runtime.StopMultus()
		s.pause(s.upTo(time.Second))
		h.Runtime.StartMultus()
		return m
	}},
	{id: "F19", class: "configuration of the node's networks lost", moments: []string{detaching, running}, whole: true, do: func(s *striker, h *host, _ flight, m string) string {
		h.Runtime.LoseConfs(true)
		s.pause(s.upTo(time.Second))
		h.Runtime.LoseConfs(false)
		return m
	}},
}

// hold is how long something lasts: short most often, sometimes longer than an agent believes its caches.
func (s *striker) hold(short time.Duration) time.Duration {
	const long = 25 * time.Second
	if left, ok := s.ctx.Deadline(); ok && time.Until(left) > 4*long && s.rng.IntN(25) == 0 {
		return long
	}
	return s.upTo(short)
}

// upTo is a time at random.
func (s *striker) upTo(d time.Duration) time.Duration {
	return time.Duration(s.rng.Int64N(int64(d))) + d/50
}

func (s *striker) pause(d time.Duration) { pause(s.ctx, d) }

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// frozen is the moment of a call whose plugins were killed or stopped: where they are, they stay. A call that has ended before it was
// struck was not.
func (s *striker) frozen(h *host, f flight, meant string) string {
	if f.call.Command == "DEL" {
		return meant
	}
	at := s.moment(h, f)
	if at == running && meant != linked {
		return "" // it was too fast
	}
	if at == running {
		return linked // struck at its very end
	}
	return at
}

// strikeOn does one strike to a host at a moment.
func (s *striker) strikeOn(h *host, k *strike, m string) {
	const limit = 2 * time.Second
	var f flight
	switch m {
	case running:
		if s.someSandbox(h) == nil {
			return
		}
	case collecting:
		if k.id != "F20" {
			// Something is left over, and the agent has seen it once, perhaps. Or a pool is being edited.
			if s.rng.IntN(2) == 0 {
				if !s.loseDEL(h) {
					return
				}
				s.pause(s.upTo(8 * time.Second))
			} else {
				go s.editPool()
				s.pause(s.upTo(50 * time.Millisecond))
			}
		}
	default:
		var ok bool
		if f, ok = s.catch(h, m, limit); !ok {
			return
		}
	}
	at := k.do(s, h, f, m)
	if at != "" {
		s.counts.cameOff(k, m)
		s.struckBy(k.id, k.class, at)
		s.say("%s (%s) at %s on %s", k.class, k.id, at, h.Name)
	}
}

// strikeCalls does light things, one after the other, on whichever host.
func (s *striker) strikeCalls(mean time.Duration) {
	for s.ctx.Err() == nil {
		s.pause(time.Duration(s.rng.ExpFloat64() * float64(mean)))
		if s.ctx.Err() != nil {
			return
		}
		k, m := s.counts.next(s.rng, light)
		s.strikeOn(s.hosts[s.rng.IntN(len(s.hosts))], k, m)
	}
}

// strikeWhole does heavy things to hosts, one after the other.
func (s *striker) strikeWhole(mean time.Duration) {
	for s.ctx.Err() == nil {
		s.pause(time.Duration(s.rng.ExpFloat64() * float64(mean)))
		k, m := s.counts.next(s.rng, heavy)
		h := s.hosts[s.rng.IntN(len(s.hosts)-1)]
		if s.ctx.Err() != nil || !h.struck.TryLock() {
			continue
		}
		s.strikeOn(h, k, m)
		h.struck.Unlock()
	}
}
