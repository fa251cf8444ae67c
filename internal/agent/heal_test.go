// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// TestHealAfterTakeover proves R-G7 and F15: the old node comes back after its pod's address was taken over. It removes the interface within
// five seconds, before it serves an ADD, says so, and touches neither the other interfaces nor the new holder.
func TestHealAfterTakeover(t *testing.T) {
	s := newScene(t, "")
	removed := record(s.old)
	bystander := s.newPod(t, "web", s.old.name, "")
	req := s.addition("web", bystander)
	req.NetNS = "/proc/self/ns/ipc" // alive, too, and another one than that of the pod that loses its address
	if resp := s.old.ask(t, req); resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	s.cutOff(t)
	s.refused(t, "new-1", problem.TakeoverTooSoon)
	s.wait(41 * time.Second)
	s.taken(t, "new-2", v1alpha1.EndTakenOver)

	waiting := s.newPod(t, "next", s.old.name, "")
	answered := make(chan agentapi.Response, 1)
	removed.before(func() {
		if len(answered) > 0 {
			t.Error("an ADD was served before the interface was removed")
		}
	})
	go func() {
		resp, _, err := tryAsk(t.Context(), s.old.socket, s.addition("next", waiting))
		if err != nil {
			t.Error(err)
		}
		answered <- resp
	}()
	healed := time.Now()
	s.old.wire.set(nil)
	removed.await(t, netnsOfOld+"/net1/"+s.lease.MAC)
	t.Logf("The interface was removed %s after the API was back", time.Since(healed)) // 5 s by R-G7, on a machine that is not busy
	if resp := <-answered; resp.Error != nil {
		t.Errorf("the ADD that waited: %+v", *resp.Error)
	}
	awaitDeleted(t, s.old, "old")
	if err := isState(s.old, "web", attached); err != nil {
		t.Error(err)
	}

	// The late DEL, and everything that may still come of the old container, leaves the new holder alone.
	del(t, s.old, "old")
	wantProblem(t, s.old.ask(t, s.addition("old", s.oldPod)), problem.ContainerDeleted)
	if holder := s.claimOf(t, s.pod).Status.Holder; holder == nil || holder.PodUID != s.pod.UID || holder.Generation != 2 {
		t.Errorf("the holder is %+v, want the new pod with generation 2", holder)
	}
	eventually(t, "the report of the node", func() error {
		report := &v1alpha1.MacNode{}
		if err := s.Get(t.Context(), client.ObjectKey{Name: s.old.name}, report); err != nil {
			return err
		}
		fenced := report.Status.Fenced
		if len(fenced) != 1 || fenced[0].LeaseName != s.lease.Name || fenced[0].PodUID != s.oldPod.UID || !strings.Contains(fenced[0].Reason, s.new.name) {
			return fmt.Errorf("it has %+v", fenced)
		}
		return nil
	})
	if n := s.old.agent.fence.total.Load(); n != 1 {
		t.Errorf("%d interfaces were fenced", n)
	}
}

// TestHealWithoutTakeover proves F14: a node that was cut off from the API, and whose pod nobody has replaced, goes on as before.
func TestHealWithoutTakeover(t *testing.T) {
	s := newScene(t, "")
	s.old.wire.set(refuse)
	s.old.clock.ahead.Add(int64(time.Minute))
	s.setNode(t, s.oldNode, false)
	other := s.newPod(t, "web", s.old.name, "")
	wantProblem(t, s.old.ask(t, s.addition("web", other)), problem.APIUnreachable)
	s.old.wire.set(nil)
	eventually(t, "the comparison after the silence", func() error {
		if !s.old.agent.contact.isJudged() || !s.old.agent.contact.cachesHold() {
			return errNotReady
		}
		return nil
	})
	s.add(t, s.old, "web", other)
	if err := isState(s.old, "old", attached); err != nil {
		t.Error(err)
	}
	if holder := s.claimOf(t, s.oldPod).Status.Holder; holder == nil || holder.PodUID != s.oldPod.UID || holder.Generation != 1 {
		t.Errorf("the holder is %+v, want the pod as before", holder)
	}
}

// TestRestartAfterTakeover: the old agent was not running at all. It removes the interface before it is ready.
func TestRestartAfterTakeover(t *testing.T) {
	s := newScene(t, "")
	removed := record(s.old)
	s.old.stop()
	s.setNode(t, s.oldNode, false)
	s.replacePod(t)
	s.refused(t, "new-1", problem.TakeoverTooSoon)
	s.wait(41 * time.Second)
	s.taken(t, "new-2", v1alpha1.EndTakenOver)
	removed.before(func() {
		if s.old.agent.Ready() == nil {
			t.Error("the agent was ready before it removed the interface")
		}
	})
	s.old.start(t)
	s.old.awaitReady(t)
	if got, want := removed.are(), []string{netnsOfOld + "/net1/" + s.lease.MAC}; !slices.Equal(got, want) {
		t.Errorf("removed were %q, want %q", got, want)
	}
}

// TestOldAddAfterTakeover proves F18: an ADD of the old pod that is still under way when its address moves on attaches nothing, and leaves
// the new holder alone.
func TestOldAddAfterTakeover(t *testing.T) {
	f := newFixture(t)
	oldNode := newNode(t)
	node := f.makeNode(t, oldNode.name)
	oldNode.start(t)
	oldNode.awaitReady(t)
	pod := f.newPod(t, "db-0", oldNode.name, "db")
	f.prebind(t, oldNode, pod)
	// The agent is stopped between its decision and the journal, where a slow disk or SIGSTOP may keep it for as long as it likes.
	eventually(t, "the pod and the pool in the caches", func() error {
		a := &addition{Agent: oldNode.agent, req: new(f.addition("probe", pod))}
		if err := a.prepare(t.Context()); err != nil {
			return err
		}
		if a.prebound(t.Context()) == nil {
			return errNotReady
		}
		return nil
	})
	oldNode.agent.journal.mu.RLock() // no write is decided
	answer := start(t, oldNode, f.addition("old", pod))
	eventually(t, "the ADD to wait for the journal", func() error {
		if oldNode.agent.journal.mu.TryRLock() { // no writer waits
			oldNode.agent.journal.mu.RUnlock()
			return errNotReady
		}
		return nil
	})
	oldNode.wire.set(refuse)
	oldNode.clock.ahead.Add(int64(time.Minute))
	f.setNode(t, node, false)
	f.deletePod(t, pod)
	_, err := f.binder().TakeOver(t.Context(), f.claimOf(t, pod),
		v1alpha1.Holder{PodName: "db-0", PodUID: "new", NodeName: "new", Interface: "net1"},
		binding.End{Reason: v1alpha1.EndTakenOver, Evidence: "silence"})
	f.must(t, err)
	oldNode.agent.journal.mu.RUnlock()
	wantProblem(t, <-answer, problem.APIUnreachable)
	if err := isState(oldNode, "old", attached); err == nil {
		t.Error("the old ADD attached its container")
	}
	oldNode.wire.set(nil)
	eventually(t, "the comparison after the silence", func() error {
		if !oldNode.agent.contact.isJudged() || len(oldNode.agent.journal.in(detached)) > 0 {
			return errNotReady
		}
		return nil
	})
	wantProblem(t, oldNode.ask(t, f.addition("old-2", pod)), problem.PodUnknown)
	if holder := f.claimOf(t, pod).Status.Holder; holder == nil || holder.PodUID != "new" {
		t.Errorf("the holder is %+v, want the new pod", holder)
	}
}

// TestWhoCannotReportIsNotBelieved: others judge by a node's reports for how long it has been silent. One that has contact, and whose
// reports are refused, may have lost an address that a watch which is stuck still shows: it looks, live.
func TestWhoCannotReportIsNotBelieved(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	f.prebind(t, n, pod)
	n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if strings.Contains(req.URL.Path, "/macnodes/") && req.Method != http.MethodGet {
			return nil, errNoNetwork
		}
		return next.RoundTrip(req)
	})
	n.clock.ahead.Add(int64(time.Minute))
	eventually(t, "the caches to agree after the silence", func() error {
		if !n.agent.contact.cachesAgree() || !n.agent.contact.isJudged() {
			return errNotReady
		}
		return nil
	})
	n.wire.requests()
	f.add(t, n, "c1", pod)
	look := "GET /apis/macpool.dev/v1alpha1/namespaces/" + f.namespace + "/macclaims/" + f.claimOf(t, pod).Name
	if asked := n.wire.requests(); !slices.Contains(asked, look) {
		t.Errorf("the ADD was answered without a look at the claim: %q", asked)
	}
	n.wire.hook(nil)
	eventually(t, "the report", func() error {
		if !n.agent.contact.cachesHold() {
			return errNotReady
		}
		return nil
	})
}
