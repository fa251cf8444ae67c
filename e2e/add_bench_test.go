// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// BenchmarkADD times ADDs as a runtime sees them, through macvlan and both roles of macpool, in a pool that asks the VLAN for strangers and in
// one that does not, in turn. Claims are bound and their addresses asked for before, as the manager and the agent do it while a pod's sandbox is
// made: what is left of the question must not be felt (the medians are to be within 10 % of each other).
func BenchmarkADD(b *testing.B) {
	const pods = 16
	modes := []benchmarked{{name: "probe", vlan: vlanBenchProbe, mode: v1alpha1.ConflictProbe}, {name: "off", vlan: vlanBenchOff, mode: v1alpha1.ConflictOff}}
	for i := range modes {
		modes[i].prepare(b, 4096)
	}
	for round := 0; b.Loop(); round++ {
		var waiting [2][]*corev1.Pod
		for i := range modes {
			waiting[i] = modes[i].bindAhead(b, round, pods)
		}
		time.Sleep(4 * time.Second) // a question takes less than two; its verdict holds for a minute
		for k := range pods {
			for j := range modes {
				i := (j + k) % len(modes) // neither is always the first
				modes[i].add(b, waiting[i][k])
			}
		}
	}
	b.ReportMetric(0, "ns/op") // of no meaning here
	var p50 [2]time.Duration
	for i := range modes {
		slices.Sort(modes[i].took)
		p50[i] = modes[i].took[len(modes[i].took)/2]
		b.ReportMetric(float64(p50[i].Microseconds())/1000, modes[i].name+"-p50-ms")
		b.ReportMetric(float64(modes[i].took[len(modes[i].took)*99/100].Microseconds())/1000, modes[i].name+"-p99-ms")
	}
	b.ReportMetric(float64(p50[0])/float64(p50[1]), "probe/off")
}

// benchmarked is a pool whose ADDs are timed, with a namespace and a network of its own.
type benchmarked struct {
	name string
	vlan int
	mode v1alpha1.ConflictMode
	nets []lab.Network
	took []time.Duration
}

func (m *benchmarked) prepare(b *testing.B, addresses int) {
	b.Helper()
	namespace(b, "bench-"+m.name)
	pool := newPool("bench-"+m.name, m.vlan, addresses)
	pool.Spec.ConflictDetection = &v1alpha1.ConflictDetection{Mode: m.mode}
	createPool(b, pool)
	createNetwork(b, "bench-"+m.name, "net", macvlanConfig("1.1.0", m.vlan, pool.Name))
	eventually(b, "agents know the link of pool "+pool.Name, func(ctx context.Context) error {
		err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(pool), pool)
		if err == nil && len(pool.Status.Links) == 0 {
			err = errors.New("the pool has no links")
		}
		return err
	})
}

// bindAhead makes pods, and waits until each holds its claim.
func (m *benchmarked) bindAhead(b *testing.B, round, count int) []*corev1.Pod {
	b.Helper()
	all := make([]*corev1.Pod, count)
	for k := range all {
		all[k] = lab.NewPod("bench-"+m.name, fmt.Sprintf("pod-%d-%d", round, k), "net")
		if err := cluster.CreatePod(b.Context(), all[k], cluster.Nodes[0]); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := cluster.ForgetPod(context.WithoutCancel(b.Context()), all[k]); err != nil {
				b.Error(err)
			}
		})
	}
	for _, pod := range all {
		eventually(b, "pod "+pod.Name+" holds a claim", func(ctx context.Context) error {
			_, err := heldBy(ctx, pod)
			return err
		})
	}
	return all
}

// add times the pod's ADD. What a runtime has to do beside it is not timed.
func (m *benchmarked) add(b *testing.B, pod *corev1.Pod) {
	b.Helper()
	s, err := cluster.Nodes[0].NewSandbox(pod)
	if err != nil {
		b.Fatal(err)
	}
	stopAtEnd(b, s)
	if m.nets == nil {
		if m.nets, err = cluster.Networks(b.Context(), pod); err != nil {
			b.Fatal(err)
		}
	}
	begin := time.Now()
	if _, err := s.Attach(b.Context(), m.nets[0]); err != nil {
		b.Fatal(err)
	}
	m.took = append(m.took, time.Since(begin))
}
