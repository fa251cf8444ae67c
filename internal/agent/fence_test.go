// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// removals are the interfaces that a node's agent has removed.
type removals struct {
	mu    sync.Mutex
	links []string
	// fails, if set, has a removal fail.
	fails error
	first func()
}

// record has the node's agent remove interfaces.
func record(n *node) *removals {
	r := &removals{}
	n.removing = func(link string) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.first != nil {
			r.first()
			r.first = nil
		}
		if r.fails == nil {
			r.links = append(r.links, link)
		}
		return r.fails
	}
	return r
}

// before has do called before the first removal.
func (r *removals) before(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.first = do
}

func (r *removals) are() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.links)
}

func (r *removals) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails = err
}

// await waits until these interfaces were removed, and no others.
func (r *removals) await(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, "the removal of interfaces", func() error {
		if got := r.are(); !slices.Equal(got, want) {
			return fmt.Errorf("removed were %q, want %q", got, want)
		}
		return nil
	})
}

// attach attaches the pod's net1 in a network namespace that is alive.
func (f *fixture) attach(t *testing.T, n *node, container string, pod *corev1.Pod) agentapi.Lease {
	t.Helper()
	req := f.addition(container, pod)
	req.NetNS = aliveNetNS
	resp := n.ask(t, req)
	if resp.Error != nil {
		t.Fatalf("ADD of %s for pod %s: %+v", container, pod.Name, *resp.Error)
	}
	return *resp.Lease
}

// link is how removals name the interface of a lease.
func link(lease agentapi.Lease) string { return aliveNetNS + "/net1/" + lease.MAC }

// endHold ends the pod's hold of its claim for a reason.
func (f *fixture) endHold(t *testing.T, pod *corev1.Pod, reason v1alpha1.EndReason) {
	t.Helper()
	claim := f.claimOf(t, pod)
	end := binding.End{Reason: reason, Evidence: "by the test"}
	f.must(t, f.binder().ClearHolder(t.Context(), client.ObjectKeyFromObject(claim), claim.Status.Holder.PodUID, claim.Status.Holder.Generation, end))
}

// holdBy makes another pod the holder of the pod's claim, from a node that is not there.
func (f *fixture) holdBy(t *testing.T, pod *corev1.Pod, holder string) {
	t.Helper()
	_, err := f.binder().SetHolder(t.Context(), f.claimOf(t, pod), v1alpha1.Holder{
		PodName: pod.Name, PodUID: types.UID("uid-of-" + holder), NodeName: "node-of-" + holder, Interface: "net1",
	})
	f.must(t, err)
}

// isState tells whether the journal has the container in this state.
func isState(n *node, container string, want attemptState) error {
	if entry, _ := n.agent.journal.get(attemptKey{container, "net1"}); entry.State != want {
		return fmt.Errorf("container %s is %q, want %q", container, entry.State, want)
	}
	return nil
}

func awaitDeleted(t *testing.T, n *node, container string) {
	t.Helper()
	eventually(t, "the tombstone of "+container, func() error { return isState(n, container, deleted) })
}

// judged has the agent go over all that is attached, by live reads and by its caches. What was to be removed is removed then.
func judged(t *testing.T, n *node) error {
	t.Helper()
	f := n.agent.fence
	err := f.all(t.Context())
	f.mu.Lock()
	clear(f.rest)
	f.mu.Unlock()
	f.look(t.Context())
	return err
}

// TestFenceInContact: an address that moves on while the node listens goes by the watch, and the pod, if it is still there, is told.
func TestFenceInContact(t *testing.T) {
	f, n := newFixture(t), newNode(t)
	removed := record(n)
	n.options.Times.Fence = time.Hour // by the watch alone
	n.start(t)
	n.awaitReady(t)
	forced, moved := f.newPod(t, "forced", n.name, ""), f.newPod(t, "moved", n.name, "")
	first := f.attach(t, n, "c1", forced)
	f.awaitCached(t, n, forced)
	f.endHold(t, forced, v1alpha1.EndForced)
	removed.await(t, link(first))
	awaitDeleted(t, n, "c1")
	f.awaitEvent(t, forced, problem.Fenced)

	second := f.attach(t, n, "c2", moved)
	f.awaitCached(t, n, moved)
	f.deletePod(t, moved) // whose interface is still there
	_, err := f.binder().TakeOver(t.Context(), f.claimOf(t, moved),
		v1alpha1.Holder{PodName: "moved", PodUID: "new", NodeName: n.name, Interface: "net1"}, // another pod of this node: the claim stays in the cache
		binding.End{Reason: v1alpha1.EndOutOfService, Evidence: "by the test"})
	f.must(t, err)
	removed.await(t, link(first), link(second))
	awaitDeleted(t, n, "c2")
}

// TestFenceWithoutPool: an address of a pool that was deleted moves on like any other (R-G7, F24).
func TestFenceWithoutPool(t *testing.T) {
	f, n := newFixture(t), newNode(t)
	removed := record(n)
	n.start(t)
	n.awaitReady(t)
	pod := f.newPod(t, "forced", n.name, "")
	lease := f.attach(t, n, "c1", pod)
	f.awaitCached(t, n, pod)
	f.must(t, f.Delete(t.Context(), f.pool))
	// The report lists what is attached of pools that are not there, and that keeps nothing.
	eventually(t, "the report", func() error {
		node := &v1alpha1.MacNode{}
		if err := f.Get(t.Context(), client.ObjectKey{Name: n.name}, node); err != nil || len(node.Status.Attachments) == 1 {
			return err
		}
		return fmt.Errorf("the node reports %d attachments, want 1", len(node.Status.Attachments))
	})
	f.endHold(t, pod, v1alpha1.EndForced)
	removed.await(t, link(lease))
}

// awaitCached waits until the agent's cache has the pod's claim, held by the pod.
func (f *fixture) awaitCached(t *testing.T, n *node, pod *corev1.Pod) {
	t.Helper()
	eventually(t, "the claim in the cache", func() error {
		cached := &v1alpha1.MacClaim{}
		if err := n.agent.cluster.cache.Get(t.Context(), client.ObjectKeyFromObject(f.claimOf(t, pod)), cached); err != nil {
			return err
		}
		if cached.Status.Holder == nil || cached.Status.Holder.PodUID != pod.UID {
			return errNotReady
		}
		return nil
	})
}

// TestFenceSpares goes through what looks as if an address had moved on and is not: the interface stays.
func TestFenceSpares(t *testing.T) {
	const goneBack, unseen, unread = "the API went back, and does not know what it knew", "whether it went back cannot be seen", "claims cannot be read"
	tests := map[string]func(t *testing.T, f *fixture, n *node, pod *corev1.Pod){
		"the hold was ended on an agent's word": func(t *testing.T, f *fixture, _ *node, pod *corev1.Pod) {
			t.Helper()
			f.endHold(t, pod, v1alpha1.EndAgentReport)
		},
		"the claim was deleted by force": func(t *testing.T, f *fixture, _ *node, pod *corev1.Pod) {
			t.Helper()
			f.must(t, f.Delete(t.Context(), f.claimOf(t, pod)))
		},
		"the claim was deleted by force and made again for the pod": func(t *testing.T, f *fixture, n *node, pod *corev1.Pod) {
			t.Helper()
			f.makeAgain(t, n, pod)
		},
		"the claim was deleted by force, made again, and is held by nobody yet": func(t *testing.T, f *fixture, n *node, pod *corev1.Pod) {
			t.Helper()
			f.makeAgain(t, n, pod)
			claim := f.claimOf(t, pod)
			claim.Status.Holder = nil
			f.must(t, f.Status().Update(t.Context(), claim))
		},
		"the API went back to when another pod held the claim": func(t *testing.T, f *fixture, _ *node, pod *corev1.Pod) {
			t.Helper()
			claim := f.claimOf(t, pod)
			claim.Status.Holder.PodUID, claim.Status.Holder.NodeName = "before", "another"
			f.must(t, f.Status().Update(t.Context(), claim))
		},
		goneBack: func(t *testing.T, f *fixture, _ *node, pod *corev1.Pod) {
			t.Helper()
			_, err := f.binder().TakeOver(t.Context(), f.claimOf(t, pod), v1alpha1.Holder{PodName: "q", PodUID: "q", NodeName: "q", Interface: "net1"},
				binding.End{Reason: v1alpha1.EndForced, Evidence: "by the test"})
			f.must(t, err)
		},
		unseen: func(t *testing.T, f *fixture, _ *node, pod *corev1.Pod) {
			t.Helper()
			f.endHold(t, pod, v1alpha1.EndForced)
		},
		unread: func(t *testing.T, f *fixture, n *node, pod *corev1.Pod) {
			t.Helper()
			n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
				if strings.Contains(req.URL.Path, "/macclaims/") {
					return nil, errNoNetwork
				}
				return next.RoundTrip(req)
			})
			f.endHold(t, pod, v1alpha1.EndForced)
		},
	}
	current := map[string]func(context.Context, string) (bool, error){
		goneBack: func(context.Context, string) (bool, error) { return false, nil },
		unseen:   func(context.Context, string) (bool, error) { return true, errNoNetwork },
	}
	fails := map[string]bool{unseen: true, unread: true}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			f, n := newFixture(t), newNode(t)
			n.current = current[name]
			n.start(t)
			n.awaitReady(t)
			pod := f.newPod(t, "db-0", n.name, "db")
			f.attach(t, n, "c1", pod)
			change(t, f, n, pod)
			if err := judged(t, n); (err != nil) != fails[name] {
				t.Errorf("the comparison: %v", err)
			}
			if err := isState(n, "c1", attached); err != nil {
				t.Error(err) // and n.removing has failed the test if the interface was removed
			}
		})
	}
}

// TestFenceOutlivesErrors: what cannot be removed, or written down, is tried again, and nothing is written down before it is removed.
func TestFenceOutlivesErrors(t *testing.T) {
	f, n := newFixture(t), newNode(t)
	removed := record(n)
	removed.fail(errors.New("operation not permitted"))
	n.start(t)
	n.awaitReady(t)
	pod, other := f.newPod(t, "db-0", n.name, "db"), f.newPod(t, "web", n.name, "")
	lease := f.attach(t, n, "c1", pod)
	f.endHold(t, pod, v1alpha1.EndForced)
	f.must(t, judged(t, n))
	if err := isState(n, "c1", attached); err != nil {
		t.Error(err)
	}
	// After a silence too, it keeps the node from attaching nothing else.
	n.clock.ahead.Add(int64(time.Minute))
	f.add(t, n, "c2", other)
	removed.fail(nil)
	removed.await(t, link(lease))
	awaitDeleted(t, n, "c1")
}
