// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/wire"
)

// quietly makes an agent that does nothing but serve, as far as it can be had: what it asks the API is asked for a request.
func quietly(o *Options) {
	o.Times.Fence, o.Times.Reap, o.Times.Linger, o.Times.Node = time.Hour, time.Hour, time.Hour, time.Hour
	o.Times.View = time.Hour
}

// about are the requests since the first so many that concern attachments, with the names of the fixture's objects left out. What the node says of
// itself it says every some seconds, however many there are.
func (n *node) about(f *fixture, since int) []string {
	n.wire.mu.Lock()
	defer n.wire.mu.Unlock()
	var all []string
	for _, request := range n.wire.asked[since:] {
		method, path, _ := strings.Cut(request, " ")
		if strings.Contains(path, "/macnodes") || strings.HasPrefix(path, "/api/v1/nodes") {
			continue
		}
		path = strings.TrimPrefix(strings.TrimPrefix(path, "/apis/macpool.dev/v1alpha1/"), "/api/v1/")
		path = strings.TrimPrefix(path, "namespaces/"+f.namespace+"/")
		parts := strings.Split(path, "/")
		if len(parts) > 1 {
			parts[1] = "*"
		}
		all = append(all, method+" "+strings.Join(parts, "/"))
	}
	return all
}

func (w *apiWire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked)
}

// TestAPIRequestBudget fails when an ADD or a DEL asks the API for more than it did: each request costs a cluster that starts a thousand pods a
// thousand.
func TestAPIRequestBudget(t *testing.T) {
	f := newFixture(t)
	n := newNode(t, quietly)
	n.vlan = func(context.Context, string, wire.Query) (string, error) { return "", nil }
	n.start(t)
	n.awaitReady(t)
	f.add(t, n, "before", f.newPod(t, "before", n.name, "")) // reads what those after it may go by
	for _, tc := range []struct {
		name     string
		prebound bool
		add      []string
	}{
		{name: "bound ahead", prebound: true},
		{name: "bound by the agent", add: []string{
			"GET macclaims", "GET macpools/*", "GET macleases", // what the caches of the node do not have
			"POST macclaims", "POST macleases", "PUT macclaims/*/status",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pod := f.newPod(t, strings.ReplaceAll(tc.name, " ", "-"), n.name, "")
			f.awaitKnown(t, n, pod)
			if tc.prebound {
				f.prebind(t, n, pod)
			}
			requests := func(verb string, do func(), want []string) {
				t.Helper()
				before := n.wire.count()
				do()
				less := func(a, b string) bool { return a < b }
				if diff := cmp.Diff(want, n.about(f, before), cmpopts.SortSlices(less), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s (-want +got):\n%s", verb, diff)
				}
			}
			requests("ADD", func() { f.add(t, n, tc.name, pod) }, tc.add)
			requests("LOOKUP", func() {
				n.ask(t, agentapi.Request{Command: agentapi.Lookup, ContainerID: tc.name, Interface: "net1", Pod: podRef(pod)})
			}, nil)
			requests("DEL", func() {
				del(t, n, tc.name)
				f.awaitNoHolder(t, pod)
			}, []string{"GET macclaims/*", "PUT macclaims/*/status"}) // after the answer
		})
	}
}

// TestAllocationBudget fails when the agent makes much more garbage for an ADD whose claim is bound ahead, or the more of it the more is attached.
func TestAllocationBudget(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, too")
	}
	const pods, each, octets = 64, 400, 50_000 // it was 266 and 28,000 when this was written
	f := newFixture(t)
	n := newNode(t, quietly, func(o *Options) { o.Log = logr.Discard() })
	n.start(t)
	n.awaitReady(t)
	requests := make([]agentapi.Request, pods)
	for i := range requests {
		pod := f.newPod(t, fmt.Sprintf("pod-%d", i), n.name, "")
		f.prebind(t, n, pod)
		requests[i] = f.addition(fmt.Sprintf("c%d", i), pod)
	}
	for half := range slices.Chunk(requests, pods/2) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, req := range half {
			if resp := n.ask(t, req); resp.Error != nil {
				t.Fatal(*resp.Error)
			}
		}
		runtime.ReadMemStats(&after)
		mallocs, size := (after.Mallocs-before.Mallocs)/(pods/2), (after.TotalAlloc-before.TotalAlloc)/(pods/2)
		t.Logf("an ADD makes %d allocations of %d octets", mallocs, size)
		if mallocs > each || size > octets {
			t.Errorf("an ADD makes %d allocations of %d octets, more than %d of %d", mallocs, size, each, octets)
		}
	}
}
