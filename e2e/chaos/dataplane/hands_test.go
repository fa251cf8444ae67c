// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// What strikes are made of.

// startAgent starts the host's agent, and waits until it is ready, if the API can be reached.
func (w *world) startAgent(h *host) {
	if err := h.RunAgent(w.ctx); err != nil {
		w.violate(other, "the agent of %s did not become ready: %v\n%s", h.Name, err, h.Agent.Tail(10))
	}
}

func (w *world) powerOff(h *host) {
	h.set(func(h *host) { h.on = false })
	if err := h.PowerOff(); err != nil {
		w.violate(other, "cutting the power of %s: %v", h.Name, err)
	}
}

// powerOn boots the host; its agent is a pod, and starts last.
func (w *world) powerOn(h *host) {
	if err := h.PowerOn(w.ctx); err != nil {
		w.violate(other, "booting %s: %v", h.Name, err)
	}
	h.set(func(h *host) { h.on = true })
	w.startAgent(h)
}

func (w *world) unplug(h *host) {
	h.set(func(h *host) { h.plugged = false })
	if err := h.Unplug(); err != nil {
		w.violate(other, "pulling the cable of %s: %v", h.Name, err)
	}
}

func (w *world) plug(h *host) {
	if err := h.Plug(); err != nil {
		w.violate(other, "plugging %s in: %v", h.Name, err)
	}
	h.set(func(h *host) { h.plugged = true })
}

// contested tells whether a pod is one whose address is fought for: its life is led elsewhere.
func contested(sandbox *lab.PodSandbox) bool { return strings.HasPrefix(sandbox.Name, splitName+"-") }

// someSandbox is a sandbox of the host that runs.
func (s *striker) someSandbox(h *host) *lab.PodSandbox {
	all := h.Runtime.Sandboxes()
	s.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, sandbox := range all {
		if sandbox.Ready() && !contested(sandbox) {
			return sandbox
		}
	}
	return nil
}

// forceDelete removes the pod of a call from the API at once.
func (s *striker) forceDelete(h *host, f flight, m string) string {
	if contested(f.a.sandbox) {
		return ""
	}
	at := s.moment(h, f)
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name, pod.UID = f.a.sandbox.Namespace, f.a.sandbox.Name, f.a.sandbox.UID
	s.churn.remove(pod, true)
	if at == running && m != detaching {
		return ""
	}
	return at
}

// loseDEL takes a pod away, from the API and from its host, and no plugin hears of it.
func (s *striker) loseDEL(h *host) bool {
	sandbox := s.someSandbox(h)
	if sandbox == nil {
		return false
	}
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name, pod.UID = sandbox.Namespace, sandbox.Name, sandbox.UID
	if err := h.Runtime.Lose(sandbox); err != nil {
		s.violate(other, "losing a sandbox: %v", err)
	}
	s.churn.remove(pod, true)
	return true
}

// tearJournal cuts the last record of the host's journal off in its midst, as a power cut leaves it, or adds a piece of one.
func (s *striker) tearJournal(h *host) {
	path := filepath.Join(h.StateDir(), "journal")
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		return
	}
	if s.rng.IntN(2) == 0 {
		text = text[:len(text)-1-s.rng.IntN(min(len(text), 200))]
	} else {
		text = append(text, text[:min(len(text), 5+s.rng.IntN(100))]...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.violate(other, "tearing the journal of %s: %v", h.Name, err)
	}
	spool := filepath.Join(h.StateDir(), "spool")
	if err := os.MkdirAll(spool, 0o700); err == nil {
		_ = os.WriteFile(filepath.Join(spool, fmt.Sprintf("torn-%d@net1.json", s.rng.IntN(1000))), []byte(`{"command": "DE`), 0o600)
	}
}

// editPool takes the last addresses of a pool's range away and gives them back.
func (s *striker) editPool() {
	n := s.nets[s.rng.IntN(len(s.nets))]
	s.struckBy("F24", "pool shrunk, and grown again", collecting)
	s.setRange(n, n.size-8)
	s.pause(s.upTo(2 * time.Second))
	s.setRange(n, n.size)
}

func (w *world) setRange(n *network, size int) {
	pool := &v1alpha1.MacPool{}
	for range 20 {
		if err := w.api.Get(w.ctx, client.ObjectKey{Name: n.name}, pool); err == nil {
			pool.Spec.Subnets[0].Ranges[0].End = v1alpha1.IPAddress(n.all[2*(size-1)].String())
			if err := w.api.Update(w.ctx, pool); err == nil {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.violate(other, "pool %s could not be edited", n.name)
}
