// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/wire"
)

// scene is a StatefulSet's pod on an old node, attached, and the new one on another node that wants its address (M24).
type scene struct {
	*fixture

	old, new    *node
	oldNode     *corev1.Node
	oldPod, pod *corev1.Pod
	lease       agentapi.Lease
	asked       atomic.Int32
}

const netnsOfOld = aliveNetNS

// newScene attaches the pod on the old node.
func newScene(t *testing.T, takeover v1alpha1.Takeover) *scene {
	t.Helper()
	s := &scene{fixture: newFixture(t), old: newNode(t), new: newNode(t)}
	if takeover != "" {
		s.pool.Spec.Takeover = takeover
		// Here it is counted who asks for the takeover.
		s.pool.Spec.ConflictDetection.Mode = v1alpha1.ConflictOff
		s.must(t, s.Update(t.Context(), s.pool))
		s.setReady(t, s.pool)
	}
	s.oldNode = s.makeNode(t, s.old.name)
	s.makeNode(t, s.new.name)
	for _, n := range []*node{s.old, s.new} {
		n.start(t)
		n.awaitReady(t)
	}
	s.oldPod = s.newStatefulPod(t, s.old)
	req := s.addition("old", s.oldPod)
	req.NetNS = netnsOfOld
	resp := s.old.ask(t, req)
	if resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	s.lease = *resp.Lease
	s.hear("", nil)
	return s
}

func (s *scene) newStatefulPod(t *testing.T, n *node) *corev1.Pod {
	t.Helper()
	return s.newPod(t, "db-0", n.name, "db")
}

// hear has the new node hear this on the VLAN.
func (s *scene) hear(answeredBy string, err error) {
	s.new.vlan = func(_ context.Context, link string, q wire.Query) (string, error) {
		s.asked.Add(1)
		want := wire.Query{IPs: []netip.Addr{s.lease.IPs[0].Address.Addr()}, MAC: s.lease.MAC, Rounds: 3}
		if diff := cmp.Diff(want, q, compareAddresses); diff != "" || link != "eth0.50" {
			return "", fmt.Errorf("asked on %q (-want +got):\n%s", link, diff)
		}
		return answeredBy, err
	}
}

// cutOff cuts the old node off from the API for so long that nothing is believed there any more, and replaces its pod by force.
func (s *scene) cutOff(t *testing.T) {
	t.Helper()
	s.old.wire.set(refuse)
	s.old.clock.ahead.Add(int64(time.Minute))
	s.setNode(t, s.oldNode, false)
	s.replacePod(t)
}

func (s *scene) replacePod(t *testing.T) {
	t.Helper()
	s.deletePod(t, s.oldPod)
	s.pod = s.newStatefulPod(t, s.new)
}

// wants is the new pod's ADD, in a container of its own.
func (s *scene) wants(container string) agentapi.Request {
	req := s.addition(container, s.pod)
	req.Link = "eth0.50"
	return req
}

// wait lets time pass for the new node.
func (s *scene) wait(d time.Duration) { s.new.clock.ahead.Add(int64(d)) }

// refused fails unless the new pod's ADD is refused so, quickly, and nothing is changed.
func (s *scene) refused(t *testing.T, container string, kind *problem.Kind) {
	t.Helper()
	resp := s.new.ask(t, s.wants(container))
	wantProblem(t, resp, kind)
	if resp.Error != nil && resp.Error.CNI != problem.CNITryAgain {
		t.Errorf("the CNI code is %d, want %d", resp.Error.CNI, problem.CNITryAgain)
	}
	if holder := s.claimOf(t, s.pod).Status.Holder; holder == nil || holder.PodUID != s.oldPod.UID || holder.Generation != 1 {
		t.Errorf("the holder is %+v, want the old pod with generation 1", holder)
	}
}

// taken fails unless the new pod's ADD gets the old one's address, for this reason.
func (s *scene) taken(t *testing.T, container string, reason v1alpha1.EndReason) {
	t.Helper()
	resp := s.new.ask(t, s.wants(container))
	if resp.Error != nil {
		t.Fatalf("the ADD was refused: %+v", *resp.Error)
	}
	if diff := cmp.Diff(s.lease, *resp.Lease, compareAddresses); diff != "" {
		t.Errorf("the lease is another (-old +new):\n%s", diff)
	}
	status := s.claimOf(t, s.pod).Status
	holder := status.Holder
	if holder == nil || holder.PodUID != s.pod.UID || holder.NodeName != s.new.name || holder.Generation != 2 {
		t.Errorf("the holder is %+v, want the new pod with generation 2", holder)
	}
	if len(status.PreviousHolders) != 1 || status.PreviousHolders[0].PodUID != s.oldPod.UID || status.PreviousHolders[0].Reason != reason ||
		status.PreviousHolders[0].Evidence == "" {
		t.Errorf("the previous holders are %+v, want the old pod, ended as %s", status.PreviousHolders, reason)
	}
}

// TestTakeoverFromASilentNode proves R-G5 for the pool's default: too soon, then refused while the old pod answers (F14, a node that is
// cut off from the API alone), then taken over when the VLAN is silent, and M24: not before.
func TestTakeoverFromASilentNode(t *testing.T) {
	s := newScene(t, "")
	s.cutOff(t)
	start := time.Now()
	s.refused(t, "new-1", problem.TakeoverTooSoon)
	if took := time.Since(start); took > agentapi.AddTimeout/2 {
		t.Errorf("an ADD that was too soon took %s", took)
	}
	s.wait(20 * time.Second) // and what the test itself takes must not make 40 of it
	s.refused(t, "new-2", problem.TakeoverTooSoon)
	if n := s.asked.Load(); n > 0 {
		t.Errorf("the VLAN was asked %d times, too soon", n)
	}
	s.wait(21 * time.Second)
	s.hear("02:32:00:a8:32:63", nil)
	s.refused(t, "new-3", problem.PreviousHolderAlive)
	s.awaitEvent(t, s.pod, problem.PreviousHolderAlive)
	s.hear("", errors.New("the link is down"))
	s.refused(t, "new-4", problem.WireNotAsked)
	without := s.wants("new-5")
	without.Link = ""
	wantProblem(t, s.new.ask(t, without), problem.WireNotAsked)
	s.hear("", nil)
	s.taken(t, "new-6", v1alpha1.EndTakenOver)

	if entry, _ := s.new.agent.journal.get(attemptKey{"new-6", "net1"}); entry.Link != "eth0.50" || entry.ClaimUID == "" || entry.Generation != 2 {
		t.Errorf("the journal has %+v", entry)
	}
	if entry, _ := s.old.agent.journal.get(attemptKey{"old", "net1"}); entry.State != attached {
		t.Errorf("the old node, which knows nothing, has %+v", entry)
	}
}

// awaitEvent waits for the event about the pod, of which there is to be one.
func (f *fixture) awaitEvent(t *testing.T, about client.Object, kind *problem.Kind) {
	t.Helper()
	eventually(t, "the event "+kind.Reason, func() error {
		var list eventsv1.EventList
		if err := f.List(t.Context(), &list, client.InNamespace(f.namespace)); err != nil {
			return err
		}
		found := slices.DeleteFunc(list.Items, func(e eventsv1.Event) bool { return e.Regarding.UID != about.GetUID() || e.Reason != kind.Reason })
		if len(found) != 1 {
			return fmt.Errorf("there are %d events %s, of all %d", len(found), kind.Reason, len(list.Items))
		}
		return nil
	})
}

// TestTakeoverByRule proves the other rules of R-G5 and rows of R-G4 on the API server.
func TestTakeoverByRule(t *testing.T) {
	outOfService := corev1.Taint{Key: corev1.TaintNodeOutOfService, Effect: corev1.TaintEffectNoExecute}
	t.Run("Strict never, but from a node that is fenced", func(t *testing.T) {
		s := newScene(t, v1alpha1.TakeoverStrict)
		s.cutOff(t)
		s.refused(t, "new-1", problem.TakeoverForbidden)
		s.wait(time.Hour)
		s.refused(t, "new-2", problem.TakeoverForbidden)
		s.setNode(t, s.oldNode, false, outOfService)
		s.taken(t, "new-3", v1alpha1.EndOutOfService)
		if n := s.asked.Load(); n > 0 {
			t.Errorf("the VLAN was asked %d times", n)
		}
	})
	t.Run("Immediate after 40 s, without asking", func(t *testing.T) {
		s := newScene(t, v1alpha1.TakeoverImmediate)
		s.cutOff(t)
		s.refused(t, "new-1", problem.TakeoverTooSoon)
		s.wait(41 * time.Second)
		s.taken(t, "new-2", v1alpha1.EndTakenOver)
		if n := s.asked.Load(); n > 0 {
			t.Errorf("the VLAN was asked %d times", n)
		}
	})
	t.Run("out of service at once", func(t *testing.T) {
		s := newScene(t, "")
		s.cutOff(t)
		s.setNode(t, s.oldNode, false, outOfService)
		s.taken(t, "new-1", v1alpha1.EndOutOfService)
	})
	t.Run("the old pod is there", func(t *testing.T) {
		s := newScene(t, "")
		s.old.wire.set(refuse)
		s.setNode(t, s.oldNode, false, outOfService)
		// The API has one pod of a name; a claim that is wanted by two has pods of two names.
		if _, err := s.tryTakeOver(t, s.newPod(t, "web", s.new.name, "")); !problem.ClaimHeld.Is(err) {
			t.Errorf("the error is %v, want ClaimHeld", err)
		}
	})
	t.Run("the node is ready", func(t *testing.T) {
		s := newScene(t, "")
		s.old.wire.set(refuse) // its agent is away, its kubelet is not
		s.replacePod(t)
		s.refused(t, "new-1", problem.ClaimHeld)
		s.wait(time.Hour)
		s.refused(t, "new-2", problem.ClaimHeld)
	})
	t.Run("the kubelet is dead and the agent is not", func(t *testing.T) {
		s := newScene(t, "")
		s.old.wire.set(refuse)
		s.setNode(t, s.oldNode, false)
		s.replacePod(t)
		s.refused(t, "new-1", problem.TakeoverTooSoon)
		s.renewReport(t)
		s.wait(30 * time.Minute)
		s.refused(t, "new-2", problem.ClaimHeld)
		s.wait(30 * time.Second)
		s.refused(t, "new-3", problem.TakeoverTooSoon)
	})
	t.Run("the node was made again under its name", func(t *testing.T) {
		s := newScene(t, "")
		s.cutOff(t)
		s.must(t, s.Delete(t.Context(), s.oldNode))
		s.makeNode(t, s.old.name)
		s.refused(t, "new-1", problem.TakeoverTooSoon)
		s.wait(41 * time.Second)
		s.taken(t, "new-2", v1alpha1.EndTakenOver)
		if n := s.asked.Load(); n != 1 {
			t.Errorf("the VLAN was asked %d times, want once", n)
		}
	})
}

// tryTakeOver tries to take the old pod's claim over for another pod than its identity's.
func (s *scene) tryTakeOver(t *testing.T, pod *corev1.Pod) (*v1alpha1.MacClaim, error) {
	t.Helper()
	req := s.addition("other", pod)
	a := &addition{Agent: s.new.agent, req: &req, pod: pod, pool: s.pool, claim: s.lease.Claim}
	return a.takeOver(t.Context())
}

// renewReport writes the old node's report, as its agent would.
func (s *scene) renewReport(t *testing.T) {
	t.Helper()
	report := &v1alpha1.MacNode{}
	s.must(t, s.Get(t.Context(), client.ObjectKey{Name: s.old.name}, report))
	report.Status.Epoch++
	report.Status.RenewTime = metav1.NowMicro()
	s.must(t, s.Status().Update(t.Context(), report))
}

func (f *fixture) binder() *binding.Binder {
	return &binding.Binder{Client: f, Index: binding.NewIndex(), Clock: testingclock.NewFakePassiveClock(now)}
}

// TestImmediateIsNeverAnsweredFromTheCaches: in such a pool nothing but a live look keeps the pod of a silent node from
// being attached after its address has moved on.
func TestImmediateIsNeverAnsweredFromTheCaches(t *testing.T) {
	f := newFixture(t)
	f.pool.Spec.Takeover = v1alpha1.TakeoverImmediate
	f.must(t, f.Update(t.Context(), f.pool))
	f.setReady(t, f.pool)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	f.prebind(t, n, pod)
	claim := "GET /apis/macpool.dev/v1alpha1/namespaces/" + f.namespace + "/macclaims/" + f.claimOf(t, pod).Name
	check := f.addition("c1", pod)
	check.Command = agentapi.Check
	for _, req := range []agentapi.Request{f.addition("c1", pod), f.addition("c1", pod), check} {
		n.wire.requests()
		if resp := n.ask(t, req); resp.Error != nil {
			t.Fatalf("%s: %+v", req.Command, *resp.Error)
		}
		if asked := n.wire.requests(); !slices.Contains(asked, claim) {
			t.Errorf("%s was answered without a look at the claim: %q", req.Command, asked)
		}
	}
}
