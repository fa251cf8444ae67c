// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestBuiltInKindsInProtobuf proves that pods, namespaces and nodes come to an agent in protobuf, which the API server keeps encoded and a client reads in a
// fraction of the time. The kinds of CRDs have no such form.
func TestBuiltInKindsInProtobuf(t *testing.T) {
	f := newFixture(t)
	n := newNode(t)
	f.makeNode(t, n.name)
	var mu sync.Mutex
	forms := map[string]string{} // resource and verb -> the media type of the answer, without what follows it
	n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		path, builtIn := strings.CutPrefix(req.URL.Path, "/api/v1/")
		if err != nil || !builtIn {
			return resp, err
		}
		parts := strings.Split(path, "/")
		if parts[0] == "namespaces" && len(parts) > 2 {
			parts = parts[2:]
		}
		what := parts[0]
		if req.URL.Query().Get("watch") != "" {
			what += ", watched"
		}
		form, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
		mu.Lock()
		defer mu.Unlock()
		if before := forms[what]; before == "" || before == protobuf {
			forms[what] = form
		}
		return resp, err
	})
	n.start(t)
	n.awaitReady(t)
	// An ADD that binds by itself reads the namespace for a pool that chooses.
	f.pool.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: f.namespace}}
	f.must(t, f.Update(t.Context(), f.pool))
	f.setReady(t, f.pool)
	f.add(t, n, "c1", f.newPod(t, "db-0", n.name, "db"))
	del(t, n, "c1")
	n.stop()

	mu.Lock()
	defer mu.Unlock()
	for what, form := range forms {
		if form != protobuf {
			t.Errorf("%s came as %s", what, form)
		}
	}
	// A watch brings the list that it begins with, where the API server can do that.
	for _, what := range []string{"pods, watched", "namespaces", "nodes"} {
		if forms[what] == "" {
			t.Errorf("the agent did not ask for %s, but for %v", what, forms)
		}
	}
}

const protobuf = "application/vnd.kubernetes.protobuf"
