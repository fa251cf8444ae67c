// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// macNode reads a node's report.
func (f *fixture) macNode(t *testing.T, n *node) *v1alpha1.MacNode {
	t.Helper()
	report := &v1alpha1.MacNode{}
	f.must(t, f.Get(t.Context(), types.NamespacedName{Name: n.name}, report))
	return report
}

// setBack has the API forget what the node has reported since.
func (f *fixture) setBack(t *testing.T, n *node) {
	t.Helper()
	eventually(t, "the epoch to be set back", func() error {
		report := f.macNode(t, n)
		report.Status.Epoch = 0
		return f.Status().Update(t.Context(), report)
	})
}

// forgetTimeline removes at the end what is on another timeline than the first, on which the other tests are.
func (f *fixture) forgetTimeline(t *testing.T, n *node) {
	t.Helper()
	t.Cleanup(func() {
		n.stop()
		ctx := context.WithoutCancel(t.Context())
		f.must(t, f.Delete(ctx, &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: n.name}}))
		f.must(t, f.Delete(ctx, f.pool))
	})
}

// putOn puts the pool on a timeline, as the manager does.
func (f *fixture) putOn(t *testing.T, timeline int64, paused bool) {
	t.Helper()
	eventually(t, "the pool on its timeline", func() error {
		pool := &v1alpha1.MacPool{}
		if err := f.Get(t.Context(), types.NamespacedName{Name: f.pool.Name}, pool); err != nil {
			return err
		}
		pool.Status.Timeline = timeline
		apimeta.RemoveStatusCondition(&pool.Status.Conditions, v1alpha1.PoolAllocationPaused)
		if paused {
			apimeta.SetStatusCondition(&pool.Status.Conditions, metav1.Condition{
				Type: v1alpha1.PoolAllocationPaused, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonWentBack, Message: "Waiting",
			})
		}
		return f.Status().Update(t.Context(), pool)
	})
}

// TestAgentFindsThatTheAPIWentBack proves the agent's part of R-B1 and F28: its own report tells, it says what it has attached, attaches
// nothing but what it had attached already, and goes on with the pool.
func TestAgentFindsThatTheAPIWentBack(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	f.forgetTimeline(t, n)
	pod, other := f.newPod(t, "db-0", n.name, "db"), f.newPod(t, "db-1", n.name, "db")
	add := func(container string) agentapi.Lease {
		t.Helper()
		req := f.addition(container, pod)
		req.NetNS = "/nowhere/" + container // nobody can tell that it is gone
		resp := n.ask(t, req)
		if resp.Error != nil {
			t.Fatalf("ADD of %s: %+v", container, *resp.Error)
		}
		return *resp.Lease
	}
	before := add("c1")
	eventually(t, "a second report", func() error {
		if known, _ := n.agent.recovery.marks.get(); known.Epoch < 2 {
			return fmt.Errorf("epoch %d", known.Epoch)
		}
		return nil
	})
	from := n.agent.recovery.timeline()
	f.setBack(t, n)
	eventually(t, "a report on a later timeline", func() error {
		s := f.macNode(t, n).Status
		if s.Timeline <= from || len(s.Attachments) != 1 {
			return fmt.Errorf("timeline %d after %d, attachments %+v", s.Timeline, from, s.Attachments)
		}
		return nil
	})
	status := f.macNode(t, n).Status
	a := status.Attachments[0]
	if a.LeaseName != before.Name || string(a.MAC) != before.MAC || a.PodUID != pod.UID || a.Workload == nil || a.Generation != 1 || a.Interface != "net1" {
		t.Errorf("reported %+v, attached %+v", a, before)
	}

	wantProblem(t, n.ask(t, f.addition("new", other)), problem.AllocationPaused)
	if again := add("c2"); again.Name != before.Name || again.MAC != before.MAC {
		t.Errorf("attached again with %+v, had %+v", again, before)
	}
	f.putOn(t, status.Timeline, true)
	wantProblem(t, n.ask(t, f.addition("new-2", other)), problem.AllocationPaused)

	f.putOn(t, status.Timeline, false)
	eventually(t, "the report without attachments", func() error {
		if left := f.macNode(t, n).Status.Attachments; len(left) > 0 {
			return fmt.Errorf("%+v", left)
		}
		return nil
	})
	f.add(t, n, "new-3", other)
}

// TestReportThatTakesLong proves that an agent whose report on a new timeline takes long does not count itself as away meanwhile: it would find all
// others on the timeline before, and give addresses out on that (R-B1).
func TestReportThatTakesLong(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	f.forgetTimeline(t, n)
	pod, other := f.newPod(t, "db-0", n.name, "db"), f.newPod(t, "db-1", n.name, "db")
	f.add(t, n, "c1", pod)
	eventually(t, "a second report", func() error {
		if known, _ := n.agent.recovery.marks.get(); known.Epoch < 2 {
			return fmt.Errorf("epoch %d", known.Epoch)
		}
		return nil
	})
	from := n.agent.recovery.timeline()
	n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if req.Method != http.MethodGet && strings.HasSuffix(req.URL.Path, "/macnodes/"+n.name+"/status") {
			time.Sleep(10 * n.options.Times.Gate.Silence)
		}
		return next.RoundTrip(req)
	})
	f.setBack(t, n)
	eventually(t, "a report on a later timeline", func() error {
		if s := f.macNode(t, n).Status; s.Timeline <= from || n.agent.recovery.found() != "" {
			return fmt.Errorf("timeline %d after %d", s.Timeline, from)
		}
		return nil
	})
	wantProblem(t, n.ask(t, f.addition("new", other)), problem.AllocationPaused)
}

// TestNothingUnreportedIsAttachedAgain proves that a pod whose sandbox had died when its node reported gets nothing by the journal's word
// while the API is behind (R-B1, I1): it is not in the report, and its address may become another's as soon as all goes on.
func TestNothingUnreportedIsAttachedAgain(t *testing.T) {
	f := newFixture(t)
	namespaces := filepath.Join(t.TempDir(), "netns") // nobody can tell what is in it until it is there
	n := startNode(t, func(o *Options) { o.NetNSDirs = []string{namespaces, "/nowhere"} })
	f.forgetTimeline(t, n)
	pod := f.newPod(t, "db-0", n.name, "db")
	req := f.addition("c1", pod)
	req.NetNS = filepath.Join(namespaces, "c1")
	if resp := n.ask(t, req); resp.Error != nil {
		t.Fatalf("ADD of c1: %+v", *resp.Error)
	}
	eventually(t, "a second report", func() error {
		if known, _ := n.agent.recovery.marks.get(); known.Epoch < 2 {
			return fmt.Errorf("epoch %d", known.Epoch)
		}
		return nil
	})
	from := n.agent.recovery.timeline()
	f.must(t, os.Mkdir(namespaces, 0o700)) // from here on it is known to be gone
	f.setBack(t, n)
	eventually(t, "a report on a later timeline", func() error {
		s := f.macNode(t, n).Status
		if s.Timeline <= from || len(s.Attachments) > 0 {
			return fmt.Errorf("timeline %d after %d, attachments %+v", s.Timeline, from, s.Attachments)
		}
		return nil
	})
	again := f.addition("c2", pod)
	again.NetNS = "/nowhere/c2"
	wantProblem(t, n.ask(t, again), problem.AllocationPaused)
}

// TestJournalIsAheadOfTheAPI proves what the epoch cannot: an API that has lost less than ten seconds is found behind by what was
// attached in them.
func TestJournalIsAheadOfTheAPI(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	f.add(t, n, "c1", pod)
	claim := f.claimOf(t, pod)
	entry, _ := n.agent.journal.get(attemptKey{"c1", "net1"})
	if entry.ClaimUID != claim.UID || entry.Revision == "" || entry.Workload == nil {
		t.Fatalf("the journal has %+v", entry)
	}
	ahead := func() string {
		t.Helper()
		why, err := n.agent.recovery.ahead(t.Context(), entry.Timeline)
		f.must(t, err)
		return why
	}
	if why := ahead(); why != "" {
		t.Errorf("an API that knows all is found behind: %s", why)
	}
	for name, change := range map[string]func(*attempt){
		"a revision that it has not reached":  func(a *attempt) { a.Revision = "99999999999" },
		"a holder that it does not know of":   func(a *attempt) { a.Generation = 7 },
		"a claim and a lease that are absent": func(a *attempt) { a.Claim.Name, a.Lease.Name, a.NetNS = "gone", "gone", "" },
	} {
		changed, lease := entry, *entry.Lease
		changed.Lease = &lease
		change(&changed)
		_, err := n.agent.journal.attach(changed)
		f.must(t, err)
		if ahead() == "" {
			t.Errorf("%s: the API is believed", name)
		}
		if why, err := n.agent.recovery.ahead(t.Context(), entry.Timeline+1); err != nil || why != "" {
			t.Errorf("%s, and reported before: %s, %v", name, why, err)
		}
		_, err = n.agent.journal.attach(entry)
		f.must(t, err)
	}
}

// TestMacNodeThatWentWithItsNode proves that a report that is missing because the Node was deleted accuses nobody, and one that is
// missing though the Node is there does (F27).
func TestMacNodeThatWentWithItsNode(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	look := func(known mark) string {
		t.Helper()
		why, err := n.agent.recovery.compare(t.Context(), nil, known, true, n.agent.contact.silence())
		f.must(t, err)
		return why
	}
	if why := look(mark{Epoch: 5, NodeUID: "before"}); why != "" {
		t.Errorf("without a Node: %s", why)
	}
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name}}
	f.must(t, f.Create(t.Context(), object))
	if why := look(mark{Epoch: 5, NodeUID: "before"}); why != "" {
		t.Errorf("with another Node: %s", why)
	}
	if look(mark{Epoch: 5, NodeUID: object.UID}) == "" {
		t.Error("with the same Node: the API is believed")
	}
}
