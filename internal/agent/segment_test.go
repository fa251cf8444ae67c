// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/wire"
)

const (
	rogueMAC = "02:00:00:00:00:66"
	vlanLink = "eth0.50"
)

// segment is a VLAN on which strangers have addresses.
type segment struct {
	mu   sync.Mutex
	uses map[string]string // address -> who answers for it
	all  string            // who answers for every address
	// silent is another link, on whose VLAN nobody is.
	silent string
	fail   error
	asked  []wire.Query
	// heard is what the agent's ear is told.
	heard chan wire.Heard
}

func newSegment() *segment { return &segment{uses: map[string]string{}, heard: make(chan wire.Heard)} }

func (s *segment) ask(_ context.Context, link string, q wire.Query) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, q)
	if link == s.silent {
		return "", nil
	}
	if link != vlanLink {
		return "", fmt.Errorf("asking on link %q: %w", link, wire.ErrNoLink)
	}
	if s.fail != nil {
		return "", s.fail
	}
	for _, ip := range q.IPs {
		if by := s.uses[ip.String()]; by != "" {
			return by, nil
		}
	}
	return s.all, nil
}

func (s *segment) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// probes are the questions for an address, by somebody who wants it.
func (s *segment) probes(ip string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, q := range s.asked {
		if slices.Contains(q.IPs, netip.MustParseAddr(ip)) && !q.Question {
			n++
		}
	}
	return n
}

// Join, Run and Close make it an Ear.
func (s *segment) Join(netip.Addr) error { return nil }

func (s *segment) Run(hear func(wire.Heard)) error {
	for h := range s.heard {
		hear(h)
	}
	return nil
}

func (s *segment) Close() {}

// attach plugs a node into the segment.
func (s *segment) attach(n *node) *node {
	n.vlan = s.ask
	n.equip = func(a *Agent) {
		a.hasLink = func(name string) bool { return name == vlanLink }
		a.hear = func(string) (Ear, error) { return s, nil }
		a.jitter = func(time.Duration) time.Duration { return 0 }
	}
	return n
}

// newOn starts a node on the segment. Its ear ends with the test.
func (s *segment) startNode(t *testing.T) *node {
	t.Helper()
	n := s.attach(newNode(t))
	n.start(t)
	n.awaitReady(t)
	t.Cleanup(sync.OnceFunc(func() { close(s.heard) }))
	return n
}

// onVLAN is the ADD of a pod whose network names the link.
func (f *fixture) onVLAN(container string, pod *corev1.Pod) agentapi.Request {
	req := f.addition(container, pod)
	req.Link = vlanLink
	return req
}

// detect sets the pool's mode.
func (f *fixture) detect(t *testing.T, mode v1alpha1.ConflictMode) {
	t.Helper()
	f.must(t, f.Get(t.Context(), client.ObjectKeyFromObject(f.pool), f.pool))
	f.pool.Spec.ConflictDetection.Mode = mode
	f.must(t, f.Update(t.Context(), f.pool))
	f.setReady(t, f.pool)
}

// link names the pool's link, as the manager does.
func (f *fixture) link(t *testing.T) {
	t.Helper()
	f.must(t, f.Get(t.Context(), client.ObjectKeyFromObject(f.pool), f.pool))
	f.pool.Status.Links = []string{vlanLink}
	f.must(t, f.Status().Update(t.Context(), f.pool))
}

func (f *fixture) lease(t *testing.T, name string) *v1alpha1.MacLease {
	t.Helper()
	lease := &v1alpha1.MacLease{}
	f.must(t, f.Get(t.Context(), types.NamespacedName{Name: name}, lease))
	return lease
}
