// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/tracing"
	"github.com/macpool/macpool/internal/tracing/tracingtest"
)

// TestTrace has a collector show one ADD in the runtime's trace: the ADD, its phases, and within these the requests to the API that it
// took. The ADD of a pod that was bound ahead makes none.
func TestTrace(t *testing.T) {
	receiver := tracingtest.New(t)
	tracer, err := tracing.FromEnv(t.Context(), receiver.Env, "node", "v1", func(err error) { t.Errorf("spans are lost: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.Tracer = tracer })
	attach := func(container, pod, trace string, ahead bool) {
		t.Helper()
		p := f.newPod(t, pod, n.name, "")
		if ahead {
			f.prebind(t, n, p)
		}
		req := f.addition(container, p)
		req.Trace = agentapi.Trace{Parent: "00-" + trace + "-b7ad6b7169203331-01"}
		if resp := n.ask(t, req); resp.Error != nil {
			t.Fatal(*resp.Error)
		}
	}
	late, ahead := strings.Repeat("1a", 16), strings.Repeat("2b", 16)
	attach("c1", "late", late, false)
	attach("c2", "ahead", ahead, true)
	n.stop()
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}

	names := map[string]string{} // span -> its name
	for _, s := range receiver.Spans() {
		names[hex.EncodeToString(s.GetSpanId())] = s.GetName()
	}
	below := map[string]map[string]int{late: {}, ahead: {}} // trace -> "parent / child" -> how many
	for _, s := range receiver.Spans() {
		name, _, _ := strings.Cut(s.GetName(), "/")
		trace := hex.EncodeToString(s.GetTraceId())
		if below[trace] == nil {
			t.Errorf("%s is of another trace", s.GetName())
			continue
		}
		below[trace][names[hex.EncodeToString(s.GetParentSpanId())]+" / "+name]++
	}
	for _, path := range []string{" / CNI ADD", "CNI ADD / lookup", "CNI ADD / queue", "CNI ADD / bind", "CNI ADD / journal"} {
		if below[late][path] == 0 || below[ahead][path] == 0 {
			t.Errorf("there is no %q in %v", path, below)
		}
	}
	for _, call := range []string{"bind / GET ", "bind / POST ", "bind / PUT "} {
		if below[late][call] == 0 {
			t.Errorf("there is no %q in %v", call, below[late])
		}
	}
	for path := range below[ahead] {
		if strings.Contains(path, "/ GET") || strings.Contains(path, "/ P") {
			t.Errorf("the ADD of a pod that was bound ahead asked the API: %s", path)
		}
	}
}
