// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/e2e/lab"
)

// TestExactPool has 200 pods on four nodes ask at once for the 200 addresses of a pool while the manager is away: all get
// one (R-K2, R-A10), no MAC or IP twice (I1), as the API says (I3). The 201st learns within 2 s that none is left (R-A6).
func TestExactPool(t *testing.T) {
	const addresses = 200
	namespace(t, "storm")
	createPool(t, newPool("storm", vlanStorm, addresses))
	createNetwork(t, "storm", "net", macvlanConfig("1.1.0", vlanStorm, "storm"))
	if err := cluster.Manager.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.StartManager(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})

	pods := createPods(t, "storm", addresses)
	start := time.Now()
	sandboxes := addAll(t, pods)
	t.Logf("%d ADDs through macvlan and both macpool roles took %s", addresses, time.Since(start).Round(time.Millisecond))

	assertDistinct(t, sandboxes, addresses)

	late := createPod(t, "storm", "late", "net", cluster.Nodes[0])
	start = time.Now()
	_, err := cluster.RunPod(t.Context(), late, cluster.Nodes[0])
	took := time.Since(start)
	assertProblem(t, err, "MP301")
	if took > 2*time.Second {
		t.Errorf("the refusal took %s, want at most 2s", took)
	}
	t.Logf("the %dst was refused after %s: %v", addresses+1, took.Round(time.Millisecond), err)
}

// assertDistinct fails unless every pod has a MAC and an IP of its own, and the API says the same as the kernel.
func assertDistinct(t *testing.T, sandboxes []*lab.Sandbox, want int) {
	t.Helper()
	leases, err := leasesOf(t.Context(), "storm")
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]string{} // MAC -> pod, by the API
	for _, l := range leases {
		recorded[string(l.Spec.MAC)] = strings.TrimSuffix(l.Spec.ClaimRef.Name, ".storm.net1")
	}
	macs, ips := map[string]string{}, map[netip.Addr]string{}
	for _, s := range sandboxes {
		link := linkOf(t, s)
		if other, taken := macs[link.MAC]; taken {
			t.Errorf("%s and %s have MAC %s", other, s.Pod.Name, link.MAC)
		}
		macs[link.MAC] = s.Pod.Name
		for _, p := range link.IPs {
			if other, taken := ips[p.Addr()]; taken {
				t.Errorf("%s and %s have %s", other, s.Pod.Name, p)
			}
			ips[p.Addr()] = s.Pod.Name
		}
	}
	if len(macs) != want || len(ips) != want {
		t.Errorf("%d MACs and %d IPs, want %d of each", len(macs), len(ips), want)
	}
	if diff := cmp.Diff(recorded, macs); diff != "" {
		t.Errorf("the leases (-) are not what the interfaces have (+):\n%s", diff)
	}
}

// createPods creates pods, spread over all nodes.
func createPods(t *testing.T, ns string, count int) []*corev1.Pod {
	t.Helper()
	pods, nodes := make([]*corev1.Pod, count), cluster.Nodes[:4] // another test adds one without an agent
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(8)
	for i := range pods {
		g.Go(func() error {
			pods[i] = lab.NewPod(ns, fmt.Sprintf("pod-%d", i), "net")
			return cluster.CreatePod(ctx, pods[i], nodes[i%len(nodes)])
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, pod := range pods {
			if err := cluster.ForgetPod(context.WithoutCancel(t.Context()), pod); err != nil {
				t.Error(err)
			}
		}
	})
	return pods
}

// addAll attaches all pods at once, each by one ADD, and wants every one to succeed.
func addAll(t *testing.T, pods []*corev1.Pod) []*lab.Sandbox {
	t.Helper()
	nodes := map[string]*lab.Node{}
	for _, n := range cluster.Nodes {
		nodes[n.Name] = n
	}
	// Made ahead, so that nothing but the ADDs themselves is in the storm.
	sandboxes := make([]*lab.Sandbox, len(pods))
	networks := make([]lab.Network, len(pods))
	for i, pod := range pods {
		s, err := nodes[pod.Spec.NodeName].NewSandbox(pod)
		if err != nil {
			t.Fatal(err)
		}
		stopAtEnd(t, s)
		nets, err := cluster.Networks(t.Context(), pod)
		if err != nil {
			t.Fatal(err)
		}
		sandboxes[i], networks[i] = s, nets[0]
	}
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		errs []string
	)
	for i, s := range sandboxes {
		all.Go(func() {
			if _, err := s.Attach(t.Context(), networks[i]); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Sprintf("%s: %v", s.Pod.Name, err))
			}
		})
	}
	all.Wait()
	if len(errs) > 0 {
		t.Fatalf("%d of %d ADDs failed:\n%s", len(errs), len(pods), strings.Join(errs, "\n"))
	}
	return sandboxes
}
