// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// R-O2: every release has an audit line with the evidence used.
func TestOneLineARecord(t *testing.T) {
	var out strings.Builder
	log := New(&out)
	lease := &v1alpha1.MacLease{
		ObjectMeta: metav1.ObjectMeta{Name: "vlan-50.192.168.50.8"},
		Spec: v1alpha1.MacLeaseSpec{
			PoolName: "iot", MAC: "02:32:00:a8:32:08", IPs: []v1alpha1.IPAddress{"192.168.50.8"},
			ClaimRef: v1alpha1.ClaimRef{Namespace: "home", Name: "db-0.iot.net1", UID: "1"},
		},
	}
	released := OfLease(Released, lease)
	released.Reason, released.Evidence = v1alpha1.EndAgentReport, "claim deleted"
	released.Since = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	log.Write(t.Context(), released)
	claim := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "c"}}
	log.Write(t.Context(), OfHolder(Held, claim, &v1alpha1.Holder{PodName: "p\n", PodUID: "2", NodeName: "n", Interface: "net1", Generation: 3}))

	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	want := []map[string]any{
		{
			"msg": "audit", "event": "released", "lease": "vlan-50.192.168.50.8", "pool": "iot", "mac": "02:32:00:a8:32:08",
			"ips": []any{"192.168.50.8"}, "namespace": "home", "claim": "db-0.iot.net1", "claimUID": "1",
			"reason": "AgentReport", "evidence": "claim deleted", "since": "2026-01-02T03:04:05Z",
		},
		{
			"msg": "audit", "event": "held", "namespace": "home", "claim": "c",
			"pod": "p\n", "podUID": "2", "node": "n", "interface": "net1", "generation": 3.0,
		},
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d: %s", len(lines), len(want), out.String())
	}
	for i, line := range lines {
		got := map[string]any{}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		text, _ := got["time"].(string)
		if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
			t.Error(err)
		}
		delete(got, "time")
		if diff := cmp.Diff(want[i], got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	var none *Log
	none.Write(t.Context(), Record{})
	(&Log{}).Write(t.Context(), Record{})
}
