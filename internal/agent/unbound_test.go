// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
)

// tally counts what an agent asks for binds: not the heartbeat, the reports, and the looks of its workers.
type tally struct {
	mu       sync.Mutex
	requests map[string]int
	octets   int64 // of what was written
}

// oneClaim is a claim that is read by its name. An ADD reads none; but the fence does, if the claim's event comes before the journal has the attachment.
const oneClaim = "GET macclaims NAME"

// follow counts from now on.
func (c *tally) follow(n *node) {
	c.requests = map[string]int{}
	n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if name := c.nameOf(req); name != "" {
			c.mu.Lock()
			c.requests[name]++
			c.octets += max(0, req.ContentLength)
			c.mu.Unlock()
		}
		return next.RoundTrip(req)
	})
}

func (c *tally) nameOf(req *http.Request) string {
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(req.URL.Path, "/apis/macpool.dev/v1alpha1/"), "/api/v1/"), "/")
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	query := req.URL.Query()
	switch {
	case query.Get("watch") != "" || parts[0] == "macnodes" || parts[0] == "macpools" && len(parts) == 1 || query.Get("fieldSelector") != "":
		return "" // the agent's own business
	case strings.HasPrefix(query.Get("labelSelector"), v1alpha1.LabelIdentity):
		return req.Method + " " + parts[0] + " of an identity"
	case len(parts) == 3:
		return req.Method + " " + parts[0] + "/" + parts[2]
	case len(parts) == 2 && parts[0] == "macclaims" && req.Method == http.MethodGet:
		return oneClaim
	}
	return req.Method + " " + parts[0]
}

// taken are the counts so far, which begin anew.
func (c *tally) taken() (map[string]int, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	requests, octets := maps.Clone(c.requests), c.octets
	clear(c.requests)
	c.octets = 0
	return requests, octets
}

// TestUnboundBudget keeps what a bind without the manager asks of the API server: three writes, and of reads what cannot be shared. It is the same for a
// storm, whose ADDs share them.
func TestUnboundBudget(t *testing.T) {
	const storm, maxOctets = 20, 2200
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.Times.View = time.Minute }) // a test may be slow
	pods := make([]*corev1.Pod, storm+2)
	for i := range pods {
		pods[i] = f.newPod(t, fmt.Sprintf("pod-%d", i), n.name, "")
	}
	f.awaitKnown(t, n, pods...)

	var c tally
	c.follow(n)
	f.add(t, n, "first", pods[storm])
	want := map[string]int{
		"POST macclaims": 1, "POST macleases": 1, "PUT macclaims/status": 1,
		"GET macpools":  1,
		"GET macclaims": 1, "GET macleases": 1, // the lists, of people's claims and of the segment
	}
	got, _ := c.taken()
	delete(got, oneClaim)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests of the first ADD (-want +got):\n%s", diff)
	}

	delete(want, "GET macclaims")
	delete(want, "GET macleases")
	f.add(t, n, "second", pods[storm+1])
	got, octets := c.taken()
	delete(got, oneClaim)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests of the second ADD (-want +got):\n%s", diff)
	}
	t.Logf("a bind writes %d octets", octets)
	if octets > maxOctets {
		t.Errorf("a bind writes %d octets, the budget is %d", octets, maxOctets)
	}

	var all sync.WaitGroup
	for i, pod := range pods[:storm] {
		all.Go(func() {
			if resp, _, err := tryAsk(t.Context(), n.socket, f.addition(fmt.Sprintf("storm-%d", i), pod)); err != nil || resp.Error != nil {
				t.Errorf("ADD of %s: %v %+v", pod.Name, err, resp.Error)
			}
		})
	}
	all.Wait()
	got, _ = c.taken()
	for shared, most := range map[string]int{"GET macpools": storm, oneClaim: storm / 2} {
		if got[shared] > most {
			t.Errorf("a storm of %d ADDs made %d requests %s", storm, got[shared], shared)
		}
		delete(got, shared)
	}
	if diff := cmp.Diff(map[string]int{"POST macclaims": storm, "POST macleases": storm, "PUT macclaims/status": storm}, got); diff != "" {
		t.Errorf("further requests of a storm (-want +got):\n%s", diff)
	}
}

// TestBudgetOfPodsThatCameSince keeps what pods cost that come when the lists are there already: one of each, that answers for all of them.
func TestBudgetOfPodsThatCameSince(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.Times.View = time.Minute })
	f.add(t, n, "first", f.newPod(t, "first", n.name, ""))
	pods := []*corev1.Pod{f.newPod(t, "a", n.name, ""), f.newPod(t, "b", n.name, ""), f.newPod(t, "c", n.name, "")}
	f.awaitKnown(t, n, pods...)
	var c tally
	c.follow(n)
	for _, pod := range pods {
		f.add(t, n, pod.Name, pod)
	}
	got, _ := c.taken()
	delete(got, oneClaim)
	want := map[string]int{
		"POST macclaims": 3, "POST macleases": 3, "PUT macclaims/status": 3,
		"GET macpools":  3,
		"GET macclaims": 1, "GET macleases": 1, // of people, and of the segment
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests of three ADDs (-want +got):\n%s", diff)
	}
}

// TestLargeSegmentIsNotListedAgain proves that a large segment is listed for pods that have come since when asking for each has cost as much, and not before.
func TestLargeSegmentIsNotListedAgain(t *testing.T) {
	w := &view{identities: map[uint64]struct{}{}}
	for i := range uint64(3 * namesPerAsking) {
		w.identities[i] = struct{}{}
	}
	for i, want := range []bool{false, false, false, true} {
		if got := w.isWorthAnother(); got != want {
			t.Errorf("question %d: another list instead = %t, want %t", i+1, got, want)
		}
	}
	if (&view{full: true}).isWorthAnother() {
		t.Error("a view that has the leases whole is replaced by one of names")
	}
}

// awaitKnown waits until the agent has seen the pods.
func (f *fixture) awaitKnown(t *testing.T, n *node, pods ...*corev1.Pod) {
	t.Helper()
	eventually(t, "the pods in the agent's cache", func() error {
		known := n.agent.knownPods(t.Context())
		for _, pod := range pods {
			if _, ok := known[pod.UID]; !ok {
				return fmt.Errorf("pod %s is not there", pod.Name)
			}
		}
		return nil
	})
}

// TestPeoplesClaimAfterTheList proves that a list of people's claims answers for no pod that came after it: a claim that a person makes ahead of a pod is
// used, however young it is.
func TestPeoplesClaimAfterTheList(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.Times.View = time.Hour })
	f.add(t, n, "c1", f.newPod(t, "first", n.name, ""))
	person := f.newClaim(t, "mine", v1alpha1.MacClaimSpec{Workload: &v1alpha1.Workload{Kind: v1alpha1.WorkloadPod, Name: "second", Interface: "net1"}})
	pod := f.newPod(t, "second", n.name, "")
	if lease := f.add(t, n, "c2", pod); lease.Claim.Name != person.Name {
		t.Errorf("the pod got a lease of claim %s, a person had made %s for it", lease.Claim.Name, person.Name)
	}
}

// TestOwnLeaseAfterTheList proves the same of a segment's list: what an identity has left behind since, on another node, is its again.
func TestOwnLeaseAfterTheList(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.Times.View = time.Hour })
	f.add(t, n, "c1", f.newPod(t, "first", n.name, ""))

	elsewhere := f.newPod(t, "second", "elsewhere", "")
	claim := f.prebind(t, nil, elsewhere)
	b := &binding.Binder{Client: f, Index: binding.NewIndex(), Clock: n.clock}
	f.must(t, b.ClearHolder(t.Context(), claimKey(claimRefOf(claim)), elsewhere.UID, claim.Status.Generation, binding.AgentReport("elsewhere")))
	f.must(t, b.Release(t.Context(), claim.Status.LeaseName, claim.UID, v1alpha1.LeaseHistory{Evidence: "test"}))
	f.must(t, f.Delete(t.Context(), claim))
	f.deletePod(t, elsewhere)

	pod := f.newPod(t, "second", n.name, "")
	if lease := f.add(t, n, "c2", pod); lease.Name != claim.Status.LeaseName {
		t.Errorf("the identity got %s, had %s", lease.Name, claim.Status.LeaseName)
	}
}

func claimRefOf(claim *v1alpha1.MacClaim) agentapi.ClaimRef {
	return agentapi.ClaimRef{Namespace: claim.Namespace, Name: claim.Name}
}
