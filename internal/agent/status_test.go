// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"os"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// breakJournal takes the disk from under the journal.
func breakJournal(t *testing.T, n *node) {
	t.Helper()
	j := n.agent.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.file.file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(n.options.StateDir); err != nil {
		t.Fatal(err)
	}
}

// TestStatus proves R-C12 and R-A6: STATUS is 50 with the reason while an ADD has no chance, and 0 again when it has one; it
// answers in time when the API does not.
func TestStatus(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.FencingWindow = time.Hour })
	pool := f.newPool(t, v1alpha1.MacPoolSpec{
		Subnets:           []v1alpha1.Subnet{{CIDR: "192.168.60.0/24"}},
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"vlan": "iot"}},
	})
	status := func(change func(s *v1alpha1.MacPoolStatus)) func() {
		return func() {
			f.must(t, f.Get(t.Context(), types.NamespacedName{Name: pool.Name}, pool))
			change(&pool.Status)
			f.must(t, f.Status().Update(t.Context(), pool))
		}
	}
	exhausted := func(s metav1.ConditionStatus) metav1.Condition {
		return metav1.Condition{Type: v1alpha1.PoolExhausted, Status: s, Reason: v1alpha1.PoolReasonNoAddress}
	}
	steps := []struct {
		name string
		pool string
		do   func()
		want *problem.Kind // nil for ready
	}{
		{"no pool: the chained entry asks", "", func() {}, nil},
		{"unknown pool", "nobody-made-this", func() {}, problem.PoolUnknown},
		{"not checked", pool.Name, func() {}, problem.PoolNotReady},
		{"ready", pool.Name, func() { f.setReady(t, pool) }, nil},
		{"none available", pool.Name, status(func(s *v1alpha1.MacPoolStatus) {
			s.Capacity, s.Leased, s.Available = ptr.To[int64](254), ptr.To[int64](254), ptr.To[int64](0)
		}), problem.PoolExhausted},
		{"one available", pool.Name, status(func(s *v1alpha1.MacPoolStatus) {
			s.Leased, s.Available = ptr.To[int64](253), ptr.To[int64](1)
		}), nil},
		{"exhausted", pool.Name, status(func(s *v1alpha1.MacPoolStatus) {
			apimeta.SetStatusCondition(&s.Conditions, exhausted(metav1.ConditionTrue))
		}), problem.PoolExhausted},
		{"no more", pool.Name, status(func(s *v1alpha1.MacPoolStatus) {
			apimeta.RemoveStatusCondition(&s.Conditions, v1alpha1.PoolExhausted)
		}), nil},
		{"API away, inside the window", pool.Name, func() { n.wire.set(n.wire.hang) }, nil},
		{"API away, outside", pool.Name, func() { n.clock.ahead.Store(int64(2 * time.Hour)) }, problem.APIUnreachable},
		{"API back", pool.Name, func() { n.wire.set(nil) }, nil},
	}
	for _, s := range steps {
		s.do()
		eventually(t, s.name, func() error {
			start := time.Now()
			resp := n.ask(t, agentapi.Request{Command: agentapi.Status, Pool: s.pool})
			if took := time.Since(start); took > agentapi.StatusTimeout {
				t.Errorf("%s: STATUS took %s", s.name, took)
			}
			if s.want == nil {
				if resp.Error != nil {
					return isProblem(resp, &problem.Kind{Reason: "none"})
				}
				return nil
			}
			if resp.Error != nil && resp.Error.CNI != problem.CNIUnavailable {
				t.Errorf("%s: CNI code %d, want %d", s.name, resp.Error.CNI, problem.CNIUnavailable)
			}
			return isProblem(resp, s.want)
		})
	}
}
