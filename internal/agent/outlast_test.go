// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/links"
	"github.com/macpool/macpool/internal/problem"
)

// sandboxes are the interfaces that are up on a node: netns -> MAC. Network namespaces named alive/... exist.
type sandboxes struct {
	mu      sync.Mutex
	up      map[string]string
	removed []string
	stuck   bool // none can be removed
}

// furnish gives a node sandboxes.
func furnish(n *node) *sandboxes {
	s := &sandboxes{up: map[string]string{}}
	n.equip = func(a *Agent) {
		a.netnsAlive = func(path string) bool { return strings.HasPrefix(path, "/alive/") }
		a.look = func(netns, _ string) (links.State, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return links.State{MAC: s.up[netns], Up: s.up[netns] != ""}, nil
		}
		a.fence.remove = func(netns, iface, mac string) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.stuck {
				return errors.ErrUnsupported
			}
			if s.up[netns] == mac {
				delete(s.up, netns)
				s.removed = append(s.removed, netns+"/"+iface)
			}
			return nil
		}
	}
	return s
}

// set brings the interface up, or takes it away.
func (s *sandboxes) set(netns, mac string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.up, netns); mac != "" {
		s.up[netns] = mac
	}
}

func (s *sandboxes) isUp(netns string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up[netns] != ""
}

// run attaches the pod's container in a namespace of its own, and brings its interface up.
func (f *fixture) run(t *testing.T, n *node, s *sandboxes, container string, pod *corev1.Pod) agentapi.Lease {
	t.Helper()
	req := f.addition(container, pod)
	req.NetNS = "/alive/" + container
	resp := n.ask(t, req)
	if resp.Error != nil {
		t.Fatalf("ADD of %s: %+v", container, *resp.Error)
	}
	s.set(req.NetNS, resp.Lease.MAC)
	return *resp.Lease
}

// TestOldSandbox is R-C15 and F34: an ADD is answered when no old sandbox of the node has the MAC up, for which it waits ten seconds at
// most; after that it says which one it is, or removes it, if it is nobody's any more.
func TestOldSandbox(t *testing.T) {
	const alive = 5 * time.Second // as long as the requirement has it
	type scene struct {
		*fixture
		n    *node
		s    *sandboxes
		old  *corev1.Pod
		next *corev1.Pod
	}
	replace := func(t *testing.T, sc *scene) {
		t.Helper()
		sc.deletePod(t, sc.old)
		sc.next = sc.newPod(t, "db-0", sc.n.name, "db")
	}
	tests := map[string]struct {
		// before the new ADD; wait is how long this node's ADDs wait, as by default if zero.
		before func(t *testing.T, sc *scene)
		wait   time.Duration
		// later, after the 5 seconds.
		later func(t *testing.T, sc *scene)
		// what comes of it.
		want    *problem.Kind
		says    string
		removed []string
	}{
		"of the pod before, which is ended after 5 s": {
			before: replace,
			later:  func(t *testing.T, sc *scene) { t.Helper(); sc.s.set("/alive/old", ""); del(t, sc.n, "old") },
		},
		"of the pod before, whose interface outlives its DEL by 5 s": {
			before: func(t *testing.T, sc *scene) { t.Helper(); replace(t, sc); del(t, sc.n, "old") },
			later:  func(_ *testing.T, sc *scene) { sc.s.set("/alive/old", "") },
		},
		"of the same pod, which is ended after 5 s": {
			before: func(_ *testing.T, sc *scene) { sc.next = sc.old },
			later:  func(t *testing.T, sc *scene) { t.Helper(); sc.s.set("/alive/old", ""); del(t, sc.n, "old") },
		},
		"of the pod before, for ever": {
			before: replace, wait: time.Second, want: problem.ClaimHeld, says: "held by pod db-0",
		},
		"of the pod before, after its DEL for ever": {
			before: func(t *testing.T, sc *scene) { t.Helper(); replace(t, sc); del(t, sc.n, "old") },
			wait:   time.Second, removed: []string{"/alive/old/net1"},
		},
		"of the pod before, after its DEL for ever, and it cannot be removed": {
			before: func(t *testing.T, sc *scene) { t.Helper(); sc.s.stuck = true; replace(t, sc); del(t, sc.n, "old") },
			wait:   time.Second, want: problem.OldSandboxUp, says: "of container old",
		},
		"of a pod that has lost the claim": {
			before: func(t *testing.T, sc *scene) { t.Helper(); replace(t, sc); sc.endHold(t, sc.old, v1alpha1.EndForced) },
			wait:   time.Second, removed: []string{"/alive/old/net1"},
		},
		"of the same pod, for ever": {
			before: func(_ *testing.T, sc *scene) { sc.next = sc.old },
			wait:   time.Second, want: problem.OldSandboxUp, says: "of container old",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sc := &scene{fixture: newFixture(t), n: newNode(t, func(o *Options) { o.Times.HolderWait = tc.wait })}
			sc.s = furnish(sc.n)
			sc.n.start(t)
			sc.n.awaitReady(t)
			sc.old = sc.newPod(t, "db-0", sc.n.name, "db")
			lease := sc.run(t, sc.n, sc.s, "old", sc.old)
			tc.before(t, sc)
			began := time.Now()
			req := sc.addition("new", sc.next)
			req.NetNS = "/alive/new"
			answer := start(t, sc.n, req)
			if tc.later != nil {
				select {
				case resp := <-answer:
					t.Fatalf("it was answered while the old interface was up: %+v", resp)
				case <-time.After(alive):
				}
				tc.later(t, sc)
			}
			resp := <-answer
			if tc.want != nil {
				wantProblem(t, resp, tc.want)
				if resp.Error != nil && (resp.Error.CNI != problem.CNITryAgain || !strings.Contains(resp.Error.Message, tc.says)) {
					t.Errorf("it is told %+v, want code 11 and %q", *resp.Error, tc.says)
				}
				if took := time.Since(began); took < tc.wait {
					t.Errorf("it was refused after %s", took)
				}
				return
			}
			if resp.Error != nil {
				t.Fatalf("it was refused: %+v", *resp.Error)
			}
			if resp.Lease.MAC != lease.MAC || sc.s.isUp("/alive/old") {
				t.Errorf("it has %s, the old one %s, which is up: %v", resp.Lease.MAC, lease.MAC, sc.s.isUp("/alive/old"))
			}
			if diff := cmp.Diff(tc.removed, sc.s.removed); diff != "" {
				t.Errorf("removed interfaces (-want +got):\n%s", diff)
			}
		})
	}
}
