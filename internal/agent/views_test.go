// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// TestLastAddress proves that agents without a manager lease a pool to its last address, tell the next one in time that there is none
// (R-A6, F25), and lease an address again when its record is free to take.
func TestLastAddress(t *testing.T) {
	const addresses, agents = 60, 4
	f := newFixture(t, v1alpha1.Subnet{
		CIDR:   "192.168.50.0/24",
		Ranges: []v1alpha1.PoolRange{{AddressRange: v1alpha1.AddressRange{Start: "192.168.50.101", End: "192.168.50.160"}}},
	})
	nodes := make([]*node, agents)
	for i := range nodes {
		nodes[i] = startNode(t, func(o *Options) { o.Times.API = 0 }) // the product's
	}
	pods := make([]*corev1.Pod, addresses)
	for i := range pods {
		pods[i] = f.newPod(t, fmt.Sprintf("pod-%d", i), nodes[i%agents].name, "")
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	owners := map[string]string{} // MAC -> container
	leases := map[string]string{} // container -> lease
	for i, pod := range pods {
		wg.Go(func() {
			resp, _, err := tryAsk(t.Context(), nodes[i%agents].socket, f.addition(pod.Name, pod))
			for again := 0; err == nil && resp.Error != nil && resp.Error.CNI == problem.CNITryAgain && again < 5; again++ { // as a kubelet does, of a slow machine
				resp, _, err = tryAsk(t.Context(), nodes[i%agents].socket, f.addition(pod.Name, pod))
			}
			if err != nil || resp.Error != nil {
				t.Errorf("ADD of %s: %v %+v", pod.Name, err, resp.Error)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if other, ok := owners[resp.Lease.MAC]; ok {
				t.Errorf("%s and %s both have %s", pod.Name, other, resp.Lease.MAC)
			}
			owners[resp.Lease.MAC], leases[pod.Name] = pod.Name, resp.Lease.Name
		})
	}
	wg.Wait()
	if len(owners) != addresses {
		t.Fatalf("%d distinct MACs, want %d", len(owners), addresses)
	}

	// Each agent has to find out by itself. The fastest is judged: the others may be slow because the machine is.
	var next *corev1.Pod
	fastest := time.Hour
	for i, n := range nodes {
		next = f.newPod(t, fmt.Sprintf("one-too-many-%d", i), n.name, "")
		start := time.Now()
		wantProblem(t, n.ask(t, f.addition(next.Name, next)), problem.PoolExhausted)
		fastest = min(fastest, time.Since(start))
	}
	if fastest > 2*time.Second {
		t.Errorf("the refusals took %s and more", fastest)
	}
	if all := f.leases(t); len(all) != addresses {
		t.Errorf("there are %d leases, want %d", len(all), addresses)
	}

	// The manager releases one, and later lets anybody have it.
	lease := &v1alpha1.MacLease{}
	f.must(t, f.Get(t.Context(), claimKey(agentapi.ClaimRef{Name: leases["pod-0"]}), lease))
	lease.Spec.ReleasedAt, lease.Spec.ReusableAt = new(metav1.Now()), new(metav1.Now())
	f.must(t, f.Update(t.Context(), lease))
	eventually(t, "the released address", func() error {
		resp := nodes[agents-1].ask(t, f.addition(fmt.Sprintf("retry-%d", unique.Add(1)), next))
		if resp.Error != nil {
			return fmt.Errorf("%+v", *resp.Error)
		}
		if resp.Lease.Name != lease.Name {
			t.Errorf("got %s, want %s", resp.Lease.Name, lease.Name)
		}
		return nil
	})
}

// TestOwnCoolingLease proves I4 without a manager: an identity whose claim was made again gets its cooling lease back.
func TestOwnCoolingLease(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	before := f.add(t, n, "c1", pod)
	del(t, n, "c1")
	f.awaitNoHolder(t, pod)
	claim := f.claimOf(t, pod)
	f.must(t, n.agent.holders.Release(t.Context(), claim.Status.LeaseName, claim.UID, v1alpha1.LeaseHistory{Evidence: "test"}))
	f.must(t, f.Delete(t.Context(), claim))
	if after := f.add(t, n, "c2", pod); after.Name != before.Name {
		t.Errorf("the identity got %s, had %s", after.Name, before.Name)
	}
}

// TestEarlierAttemptsLease proves R-A4: a lease that another hand made for the claim, and did not live to record, is used.
func TestEarlierAttemptsLease(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	claim := f.prebind(t, nil, pod)
	made := claim.Status.LeaseName
	claim.Status = v1alpha1.MacClaimStatus{}
	f.must(t, f.Status().Update(t.Context(), claim))
	if lease := f.add(t, n, "c1", pod); lease.Name != made {
		t.Errorf("the ADD got %s, %s was made for the claim before", lease.Name, made)
	}
	if all := f.leases(t); len(all) != 1 {
		t.Errorf("there are %d leases", len(all))
	}
}

// TestListsAreShared proves that a storm of ADDs lists a segment once, in pages, and not whole.
func TestListsAreShared(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.Times.View = 30 * time.Second }) // 20 ADDs may take long
	var mu sync.Mutex
	lists := 0
	n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		query := req.URL.Query()
		if req.Method == http.MethodGet && query.Get("labelSelector") == v1alpha1.LabelSegment+"="+f.pool.Spec.Segment {
			mu.Lock()
			lists++
			mu.Unlock()
			if query.Get("limit") != fmt.Sprint(viewPage) {
				t.Errorf("the list has no limit: %s", req.URL)
			}
			if accept := req.Header.Get("Accept"); !isMetadataOnly(accept) {
				t.Errorf("the list asks for %s", accept)
			}
		}
		return next.RoundTrip(req)
	})
	pods := make([]*corev1.Pod, 20)
	for i := range pods {
		pods[i] = f.newPod(t, fmt.Sprintf("pod-%d", i), n.name, "")
	}
	f.awaitKnown(t, n, pods...)
	var wg sync.WaitGroup
	for _, pod := range pods {
		wg.Go(func() {
			resp, _, err := tryAsk(t.Context(), n.socket, f.addition(pod.Name, pod))
			if err != nil || resp.Error != nil {
				t.Errorf("ADD of %s: %v %+v", pod.Name, err, resp.Error)
			}
		})
	}
	wg.Wait()
	if lists != 1 {
		t.Errorf("the segment was listed %d times", lists)
	}
	n.clock.ahead.Store(int64(time.Minute))
	n.agent.views.drop(t.Context())
	if len(n.agent.views.current) != 0 {
		t.Error("a view is kept for longer than it is used")
	}
}
