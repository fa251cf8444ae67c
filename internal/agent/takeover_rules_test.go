// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// TestTakeoverRules goes through R-G5 as a table.
func TestTakeoverRules(t *testing.T) {
	const probe, strict, immediate = v1alpha1.TakeoverProbe, v1alpha1.TakeoverStrict, v1alpha1.TakeoverImmediate
	tests := map[string]struct {
		s        standoff
		want     v1alpha1.EndReason
		wantAsk  bool
		wantKind *problem.Kind
	}{
		"the pod is there, its node is fenced":   {s: standoff{podThere: true, node: binding.NodeFenced}, wantKind: problem.ClaimHeld},
		"the node is ready":                      {s: standoff{node: binding.NodeReady, silent: time.Hour}, wantKind: problem.ClaimHeld},
		"the node is ready, Immediate":           {s: standoff{node: binding.NodeReady, silent: time.Hour, takeover: immediate}, wantKind: problem.ClaimHeld},
		"the node is fenced":                     {s: standoff{node: binding.NodeFenced, takeover: probe}, want: v1alpha1.EndOutOfService},
		"the node is fenced, Strict":             {s: standoff{node: binding.NodeFenced, takeover: strict}, want: v1alpha1.EndOutOfService},
		"silent, Strict":                         {s: standoff{node: binding.NodeSilent, silent: time.Hour, takeover: strict}, wantKind: problem.TakeoverForbidden},
		"deleted, Strict":                        {s: standoff{node: binding.NodeDeleted, silent: time.Hour, takeover: strict}, wantKind: problem.TakeoverForbidden},
		"silent, but its agent reports":          {s: standoff{node: binding.NodeSilent, alive: true, takeover: probe}, wantKind: problem.ClaimHeld},
		"just silent":                            {s: standoff{node: binding.NodeSilent, takeover: probe}, wantKind: problem.TakeoverTooSoon},
		"silent for less than 40 s":              {s: standoff{node: binding.NodeSilent, silent: 39 * time.Second, takeover: probe}, wantKind: problem.TakeoverTooSoon},
		"silent for less than 40 s, Immediate":   {s: standoff{node: binding.NodeSilent, silent: 39 * time.Second, takeover: immediate}, wantKind: problem.TakeoverTooSoon},
		"silent for 40 s":                        {s: standoff{node: binding.NodeSilent, silent: 40 * time.Second, takeover: probe}, want: v1alpha1.EndTakenOver, wantAsk: true},
		"silent for 40 s, pool of before":        {s: standoff{node: binding.NodeSilent, silent: 40 * time.Second}, want: v1alpha1.EndTakenOver, wantAsk: true},
		"silent for 40 s, Immediate":             {s: standoff{node: binding.NodeSilent, silent: 40 * time.Second, takeover: immediate}, want: v1alpha1.EndTakenOver},
		"deleted, silent for less than 40 s":     {s: standoff{node: binding.NodeDeleted, silent: time.Second, takeover: probe}, wantKind: problem.TakeoverTooSoon},
		"deleted, silent for 40 s":               {s: standoff{node: binding.NodeDeleted, silent: 40 * time.Second, takeover: probe}, want: v1alpha1.EndTakenOver, wantAsk: true},
		"deleted, silent for 40 s, Immediate":    {s: standoff{node: binding.NodeDeleted, silent: 40 * time.Second, takeover: immediate}, want: v1alpha1.EndTakenOver},
		"the pod is there, Preempt, ready":       {s: standoff{podThere: true, preempts: true, node: binding.NodeReady, silent: time.Hour}, wantKind: problem.ClaimHeld},
		"the pod is there, Preempt, just silent": {s: standoff{podThere: true, preempts: true, node: binding.NodeSilent, takeover: probe}, wantKind: problem.TakeoverTooSoon},
		"the pod is there, Preempt, silent":      {s: standoff{podThere: true, preempts: true, node: binding.NodeSilent, silent: 40 * time.Second, takeover: probe}, want: v1alpha1.EndTakenOver, wantAsk: true},
		"the pod is there, Preempt, Strict":      {s: standoff{podThere: true, preempts: true, node: binding.NodeSilent, silent: time.Hour, takeover: strict}, wantKind: problem.TakeoverForbidden},
		"the pod is there, its node was deleted": {s: standoff{podThere: true, node: binding.NodeDeleted, silent: time.Hour}, wantKind: problem.ClaimHeld},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.s.claim = &v1alpha1.MacClaim{Status: v1alpha1.MacClaimStatus{Holder: &v1alpha1.Holder{PodName: "db-0", NodeName: "old"}}}
			got, ask, err := tt.s.judge(40 * time.Second)
			if tt.wantKind != nil {
				if p := problem.As(err); p == nil || p.Kind != tt.wantKind || p.Kind.CNI != problem.CNITryAgain {
					t.Errorf("the error is %v, want %s with the code to try again", err, tt.wantKind.Reason)
				}
				return
			}
			if err != nil || got != tt.want || ask != tt.wantAsk {
				t.Errorf("got %s, ask the VLAN %t, %v; want %s, %t", got, ask, err, tt.want, tt.wantAsk)
			}
		})
	}
}

// TestSilences proves that only the own clock counts, from the first look that saw the report which is still there (F13).
func TestSilences(t *testing.T) {
	fake := testingclock.NewFakePassiveClock(now)
	s := &silences{clock: fake}
	node, again := silentNode{"node", "1"}, silentNode{"node", "2"}
	steps := []struct {
		name      string
		after     time.Duration
		node      silentNode
		mark      string
		want      time.Duration
		wantAlive bool
	}{
		{"first look", 0, node, "a", 0, false},
		{"the same report", 39 * time.Second, node, "a", 39 * time.Second, false},
		{"another node of the name", 0, again, "a", 0, false},
		{"it reports", time.Second, node, "b", 0, true},
		{"and is silent", 30 * time.Second, node, "b", 30 * time.Second, false},
		{"for long", 50 * time.Minute, node, "b", 50*time.Minute + 30*time.Second, false},
		{"its report is gone", time.Second, node, "none", 0, true},
		{"nobody looked for an hour", forgetSilence + time.Second, node, "none", 0, false},
	}
	for _, step := range steps {
		fake.SetTime(fake.Now().Add(step.after))
		if got, alive := s.silentFor(step.node, step.mark, fake.Now()); got != step.want || alive != step.wantAlive {
			t.Errorf("%s: silent for %s, alive %t; want %s, %t", step.name, got, alive, step.want, step.wantAlive)
		}
	}
	// An answer that lay somewhere counts from when it was read, and a question from when it was sent.
	asked := fake.Now()
	fake.SetTime(asked.Add(time.Minute))
	s.silentFor(node, "late", asked)
	if got, _ := s.silentFor(node, "late", fake.Now()); got != 0 {
		t.Errorf("silent for %s by an answer that was a minute old", got)
	}
}
