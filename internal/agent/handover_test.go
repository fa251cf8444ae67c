// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/wire"
)

// rollout is a Deployment with one claim, whose old pod runs on one node and whose new pod is on another, or on the same.
type rollout struct {
	*fixture

	from, to *node
	fromNode *corev1.Node
	up       *sandboxes // of both nodes
	old, pod *corev1.Pod
	lease    agentapi.Lease
}

// newRollout makes the claim and attaches the old pod; the new one is there, and waits.
func newRollout(t *testing.T, handover v1alpha1.Handover, sameNode bool, change ...func(*Options)) *rollout {
	t.Helper()
	r := &rollout{fixture: newFixture(t), from: newNode(t, change...)}
	r.up = furnish(r.from)
	r.fromNode = r.makeNode(t, r.from.name)
	r.from.start(t)
	r.from.awaitReady(t)
	if r.to = r.from; !sameNode {
		r.to = newNode(t, change...)
		r.to.equip = r.from.equip
		r.makeNode(t, r.to.name)
		r.to.start(t)
		r.to.awaitReady(t)
	}
	r.must(t, r.Create(t.Context(), &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "ha"},
		Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: r.pool.Name}, Handover: handover},
	}))
	r.old = r.replica(t, "ha-1-a", "1", r.from)
	r.lease = *r.attach(t, r.from, "old", r.old).Lease
	r.up.set("/alive/old", r.lease.MAC)
	r.pod = r.replica(t, "ha-2-b", "2", r.to)
	return r
}

// replica makes a pod of the Deployment, of the ReplicaSet with this hash.
func (r *rollout) replica(t *testing.T, name, hash string, n *node) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.namespace, Name: name, Labels: map[string]string{appsv1.DefaultDeploymentUniqueLabelKey: hash},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "ha-" + hash, UID: "uid", Controller: new(true)}},
		},
		Spec: corev1.PodSpec{NodeName: n.name, Containers: []corev1.Container{{Name: "main", Image: "main"}}},
	}
	r.must(t, r.Create(t.Context(), pod))
	return pod
}

func (r *rollout) request(container string, pod *corev1.Pod) agentapi.Request {
	req := r.addition(container, pod)
	req.NetNS, req.Wish.Claim, req.Link = "/alive/"+container, "ha", "eth0.50"
	return req
}

func (r *rollout) attach(t *testing.T, n *node, container string, pod *corev1.Pod) agentapi.Response {
	t.Helper()
	resp := n.ask(t, r.request(container, pod))
	if resp.Error != nil {
		t.Fatalf("ADD of %s: %+v", container, *resp.Error)
	}
	return resp
}

func (r *rollout) status(t *testing.T) v1alpha1.MacClaimStatus {
	t.Helper()
	claim := &v1alpha1.MacClaim{}
	r.must(t, r.Get(t.Context(), client.ObjectKey{Namespace: r.namespace, Name: "ha"}, claim))
	return claim.Status
}

// keeps fails unless the old pod has all that it had.
func (r *rollout) keeps(t *testing.T) {
	t.Helper()
	if holder := r.status(t).Holder; holder == nil || holder.PodUID != r.old.UID || holder.Generation != 1 || !r.up.isUp("/alive/old") {
		t.Errorf("the holder is %+v, and the old interface is up: %v", holder, r.up.isUp("/alive/old"))
	}
}

// taken fails unless the new pod has the address by a handover, and the old one has not.
func (r *rollout) taken(t *testing.T, resp agentapi.Response) {
	t.Helper()
	if resp.Error != nil {
		t.Fatalf("the new pod's ADD: %+v", *resp.Error)
	}
	if diff := cmp.Diff(r.lease, *resp.Lease, compareAddresses); diff != "" || r.up.isUp("/alive/old") {
		t.Errorf("the old interface is up: %v, and the lease is another (-old +new):\n%s", r.up.isUp("/alive/old"), diff)
	}
	status := r.status(t)
	if h := status.Holder; h == nil || h.PodUID != r.pod.UID || h.NodeName != r.to.name || h.Generation != 2 || status.Successor != nil {
		t.Errorf("the holder is %+v, the successor %+v", h, status.Successor)
	}
	if p := status.PreviousHolders; len(p) != 1 || p[0].PodUID != r.old.UID || p[0].Reason != v1alpha1.EndPreempted || !strings.Contains(p[0].Evidence, "for pod ha-2-b") {
		t.Errorf("the previous holders are %+v", p)
	}
}

// TestPreempt is the claim's handover: the old interface goes, its node says so, and only then the new pod is the holder (I1); without a
// manager, whose part the new pod's node does (R-K2).
func TestPreempt(t *testing.T) {
	for name, same := range map[string]bool{"from another node": false, "on one node": true} {
		t.Run(name, func(t *testing.T) {
			r := newRollout(t, v1alpha1.HandoverPreempt, same)
			remove := r.from.agent.fence.remove
			r.from.agent.fence.remove = func(netns, iface, mac string) error {
				if s := r.status(t); netns == "/alive/old" && (s.Holder == nil || s.Holder.PodUID != r.old.UID || s.Successor == nil || s.Successor.PodUID != r.pod.UID) {
					t.Errorf("at the removal the holder is %+v, the successor %+v", s.Holder, s.Successor)
				}
				return remove(netns, iface, mac)
			}
			r.taken(t, r.to.ask(t, r.request("new", r.pod)))
			r.up.set("/alive/new", r.lease.MAC)
			awaitDeleted(t, r.from, "old")
			r.awaitEvent(t, r.old, problem.MadeWay)

			// The old pod runs on. Its kubelet makes it a new sandbox, which gets nothing and takes nothing, and ends the old one.
			resp := r.from.ask(t, r.request("old-2", r.old))
			wantProblem(t, resp, problem.RolloutWaits)
			del(t, r.from, "old")
			r.deletePod(t, r.old)
			if s := r.status(t); s.Holder == nil || s.Holder.PodUID != r.pod.UID || s.Holder.Generation != 2 || !r.up.isUp("/alive/new") {
				t.Errorf("the new pod lost it: %+v", s.Holder)
			}
			// And the other way, when somebody rolls back.
			back := r.replica(t, "ha-1-c", "1", r.from)
			if resp := r.from.ask(t, r.request("back", back)); resp.Error != nil {
				t.Errorf("the rollback: %+v", *resp.Error)
			}
		})
	}
}

// TestWaitIsTheDefault: a rolling update that waits for itself is told so by its ADD at once, with the remedy, and the old pod keeps what it has.
func TestWaitIsTheDefault(t *testing.T) {
	r := newRollout(t, "", false)
	began := time.Now()
	resp := r.to.ask(t, r.request("new", r.pod))
	wantProblem(t, resp, problem.RolloutWaits)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if resp.Error != nil {
		for _, want := range []string{"Deployment ha", "pod ha-1-a on node " + r.from.name, "strategy: Recreate", "maxSurge: 0"} {
			if text := resp.Error.Message + ". " + resp.Error.Fix; !strings.Contains(text, want) {
				t.Errorf("it says %q, without %q", text, want)
			}
		}
	}
	r.keeps(t)
	// The remedy: the old pod goes first.
	r.up.set("/alive/old", "")
	r.deletePod(t, r.old)
	del(t, r.from, "old")
	eventually(t, "the new pod's turn", func() error {
		if resp := r.to.ask(t, r.request("new", r.pod)); resp.Error != nil {
			return fmt.Errorf("%+v", *resp.Error)
		}
		return nil
	})
}

// TestPreemptIsBounded: what keeps the old interface there is said, changes nothing, and is got over.
func TestPreemptIsBounded(t *testing.T) {
	short := func(o *Options) { o.Times.HolderWait = 500 * time.Millisecond }
	t.Run("the interface cannot be removed", func(t *testing.T) {
		r := newRollout(t, v1alpha1.HandoverPreempt, false, short)
		r.up.stuck = true
		wantProblem(t, r.to.ask(t, r.request("new-1", r.pod)), problem.HolderAsked)
		r.keeps(t)
		r.up.mu.Lock()
		r.up.stuck = false
		r.up.mu.Unlock()
		eventually(t, "the holder to make way", func() error {
			if h := r.status(t).Holder; h != nil {
				return fmt.Errorf("it is %+v", *h)
			}
			return nil
		})
		// Nobody else has it now: not the old pod, whose kubelet makes it a new sandbox.
		wantProblem(t, r.from.ask(t, r.request("old-2", r.old)), problem.ClaimPromised)
		r.taken(t, r.to.ask(t, r.request("new-2", r.pod)))
	})
	t.Run("the new pod goes while the old one is asked", func(t *testing.T) {
		r := newRollout(t, v1alpha1.HandoverPreempt, false, short)
		r.from.wire.set(refuse)
		wantProblem(t, r.to.ask(t, r.request("new-1", r.pod)), problem.HolderAsked)
		r.deletePod(t, r.pod)
		r.from.wire.set(nil)
		eventually(t, "the successor to be dismissed", func() error {
			if s := r.status(t).Successor; s != nil {
				return fmt.Errorf("it is %+v", *s)
			}
			return nil
		})
		r.keeps(t)
	})
	t.Run("the new pod goes after the old one has made way", func(t *testing.T) {
		r := newRollout(t, v1alpha1.HandoverPreempt, false, short)
		// The new pod's ADD asks, and is cut off before it becomes the holder.
		r.to.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			resp, err := next.RoundTrip(req)
			if req.Method == http.MethodPut && strings.HasSuffix(req.URL.Path, "/macclaims/ha/status") {
				r.to.wire.set(refuse)
			}
			return resp, err
		})
		if resp := r.to.ask(t, r.request("new-1", r.pod)); resp.Error == nil {
			t.Fatal("it was attached")
		}
		eventually(t, "the holder to make way", func() error {
			if s := r.status(t); s.Holder != nil || s.Successor == nil {
				return fmt.Errorf("the holder is %+v, the successor %+v", s.Holder, s.Successor)
			}
			return nil
		})
		r.deletePod(t, r.pod)
		third := r.replica(t, "ha-3-c", "3", r.from)
		if resp := r.from.ask(t, r.request("third", third)); resp.Error != nil {
			t.Errorf("the next pod: %+v", *resp.Error)
		}
	})
	t.Run("the old pod was never attached", func(t *testing.T) {
		r := newRollout(t, v1alpha1.HandoverPreempt, false)
		del(t, r.from, "old")
		eventually(t, "no holder", func() error {
			if h := r.status(t).Holder; h != nil {
				return fmt.Errorf("it is %+v", *h)
			}
			return nil
		})
		r.up.set("/alive/old", "")
		claim := &v1alpha1.MacClaim{}
		r.must(t, r.Get(t.Context(), client.ObjectKey{Namespace: r.namespace, Name: "ha"}, claim))
		next := r.replica(t, "ha-1-b", "1", r.from)
		_, err := r.binder().SetHolder(t.Context(), claim, v1alpha1.Holder{
			PodName: next.Name, PodUID: next.UID, NodeName: r.from.name, Interface: "net1", Owner: &v1alpha1.Owner{Kind: "Deployment", Name: "ha"},
		})
		r.must(t, err)
		third := r.replica(t, "ha-3-c", "3", r.to)
		if resp := r.to.ask(t, r.request("third", third)); resp.Error != nil {
			t.Errorf("the next pod: %+v", *resp.Error)
		}
		wantProblem(t, r.from.ask(t, r.request("late", next)), problem.RolloutWaits)
	})
}

// TestPreemptFromALostNode: nobody answers there, so the rules of takeover decide (R-G5), also while the API has the old pod; and the node
// that comes back removes what has moved on (R-G7).
func TestPreemptFromALostNode(t *testing.T) {
	r := newRollout(t, v1alpha1.HandoverPreempt, false, func(o *Options) { o.Times.HolderWait = 500 * time.Millisecond })
	r.to.vlan = func(_ context.Context, _ string, _ wire.Query) (string, error) { return "", nil }
	r.from.wire.set(refuse)
	r.from.clock.ahead.Add(int64(time.Minute))
	wantProblem(t, r.to.ask(t, r.request("new-1", r.pod)), problem.HolderAsked) // its agent is away, its kubelet is not
	r.setNode(t, r.fromNode, false)
	wantProblem(t, r.to.ask(t, r.request("new-2", r.pod)), problem.TakeoverTooSoon)
	r.keeps(t)
	r.to.clock.ahead.Add(int64(41 * time.Second))
	if resp := r.to.ask(t, r.request("new-3", r.pod)); resp.Error != nil {
		t.Fatalf("%+v", *resp.Error)
	}
	if s := r.status(t); s.Holder == nil || s.Holder.PodUID != r.pod.UID || s.Holder.Generation != 2 || s.PreviousHolders[0].Reason != v1alpha1.EndTakenOver {
		t.Errorf("it became %+v", s)
	}
	r.from.wire.set(nil)
	eventually(t, "the old interface to go", func() error {
		if r.up.isUp("/alive/old") {
			return errNotRemoved
		}
		return nil
	})
}
