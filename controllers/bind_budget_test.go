// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestBindBudget keeps what a bind asks of the API server: of pods that are on their nodes when their network comes three writes, claim, lease and status, and
// nothing is read. A pod that is scheduled while its claim is being made does not have it made once more.
func TestBindBudget(t *testing.T) {
	const pods, maxOctets = 10, 1900
	w := newWorld(t)
	var mu sync.Mutex
	requests, octets := map[string]int{}, int64(0)
	w.startManager(managerOptions{count: func(r *http.Request) {
		name := requestName(r)
		if name == "" {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		requests[name]++
		octets += max(0, r.ContentLength)
	}})
	namespace, pool := w.namespace(), w.pool("10.9.0.0/24")
	w.poolReady(pool)
	w.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}})
	var waiting []*corev1.Pod
	for i := range pods {
		waiting = append(waiting, w.pod(namespace, fmt.Sprintf("pod-%d", i), "net", on("node-1")))
	}
	w.afterSecondLook()
	taken := func() (map[string]int, int64) {
		mu.Lock()
		defer mu.Unlock()
		all, n := requests, octets
		requests, octets = map[string]int{}, 0
		return all, n
	}
	taken()

	w.network(namespace, "net", pool.Name)
	for _, pod := range waiting {
		claim := w.bound(namespace, pod.Name+"."+pool.Name+".net1")
		if h := claim.Status.Holder; h == nil || h.PodUID != pod.UID {
			t.Errorf("claim %s was bound without its pod as the holder: %+v", claim.Name, h)
		}
	}
	w.afterSecondLook()
	got, written := taken()
	want := map[string]int{"POST macclaims": pods, "POST macleases": pods, "PUT macclaims/status": pods}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests of %d binds (-want +got):\n%s", pods, diff)
	}
	t.Logf("a bind writes %d octets", written/pods)
	if written/pods > maxOctets {
		t.Errorf("a bind writes %d octets, the budget is %d", written/pods, maxOctets)
	}

	for i := range pods {
		pod := w.pod(namespace, fmt.Sprintf("late-%d", i), "net")
		w.schedule(pod, "node-1")
		w.eventually(func(g gomega.Gomega) {
			claim := w.claimNow(namespace, pod.Name+"."+pool.Name+".net1")
			g.Expect(claim).NotTo(gomega.BeNil())
			g.Expect(claim.Status.Holder).NotTo(gomega.BeNil())
		})
	}
	w.afterSecondLook()
	if got, _ := taken(); got["POST macclaims"] != pods || got["POST macleases"] != pods {
		t.Errorf("%d pods that were scheduled at once cost %v", pods, got)
	}
}

// requestName is the request of a bind; "" for the manager's other business.
func requestName(r *http.Request) string {
	path, ok := strings.CutPrefix(r.URL.Path, "/apis/macpool.dev/v1alpha1/")
	if !ok {
		return ""
	}
	parts := strings.Split(path, "/")
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	switch {
	case parts[0] != "macclaims" && parts[0] != "macleases" || r.URL.Query().Get("watch") != "":
		return ""
	case len(parts) == 3:
		return r.Method + " " + parts[0] + "/" + parts[2]
	}
	return r.Method + " " + parts[0]
}
