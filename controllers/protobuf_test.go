// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestBuiltInKindsInProtobuf proves that the kinds that each API server has come to the manager in protobuf, which the API server keeps encoded and a client reads
// in a fraction of the time: pods and nodes are most of what it is told. The kinds of CRDs have no such form, but for their metadata alone.
func TestBuiltInKindsInProtobuf(t *testing.T) {
	const protobuf = "application/vnd.kubernetes.protobuf"
	w := newWorld(t)
	var mu sync.Mutex
	forms := map[string]string{} // collection -> the media type of an answer, one that is not protobuf if there was one
	w.startManager(managerOptions{answered: func(request *http.Request, answer *http.Response) {
		parts := strings.Split(strings.TrimPrefix(request.URL.Path, "/"), "/")
		if request.Method != http.MethodGet || answer.StatusCode != http.StatusOK {
			return
		}
		collection := ""
		for _, kind := range []string{"pods", "nodes", "namespaces", "statefulsets"} {
			// The last that is named: namespaces/a/pods is about pods.
			for i, part := range parts {
				if part == kind && (kind != "namespaces" || len(parts) <= i+2) {
					collection = kind
				}
			}
		}
		form, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
		mu.Lock()
		defer mu.Unlock()
		if before := forms[collection]; collection != "" && (before == "" || before == protobuf) {
			forms[collection] = form
		}
	}})
	ns, pool := w.namespace(), w.pool("192.168.0.0/16")
	w.network(ns, "iot", pool.Name)
	w.poolReady(pool)
	w.pod(ns, "pod", "iot", on("node-1"))
	w.expectOneLeaseEach(ns, pool, 1)

	mu.Lock()
	defer mu.Unlock()
	for collection, form := range forms {
		if form != protobuf {
			t.Errorf("%s came as %s", collection, form)
		}
	}
	for _, collection := range []string{"pods", "nodes", "namespaces", "statefulsets"} {
		if forms[collection] == "" {
			t.Errorf("the manager did not ask for %s, but for %v", collection, forms)
		}
	}
}
