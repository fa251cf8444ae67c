// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// TestFaults puts a node through what happens to nodes, while pods run on it that nothing of this may touch: their
// interfaces keep MAC, IPs and connectivity, and CHECK agrees at the end (I2, I3).
func TestFaults(t *testing.T) {
	namespace(t, "faults")
	createPool(t, newPool("faults", vlanFaults, 100))
	createNetwork(t, "faults", "net", macvlanConfig("1.0.0", vlanFaults, "faults"))
	node := cluster.Nodes[3]
	steady := runPod(t, "faults", "steady", "net", node)
	peer := runPod(t, "faults", "peer", "net", cluster.Nodes[2])
	before := linkOf(t, steady).String()
	untouched := func(t *testing.T) {
		t.Helper()
		if got := linkOf(t, steady).String(); got != before {
			t.Errorf("the running pod has\n%s\nit had\n%s", got, before)
		}
		assertReach(t, peer, steady)
	}

	t.Run("agent killed in a storm", func(t *testing.T) {
		killedInStorm(t, node)
		untouched(t)
	})
	t.Run("DEL while the agent is down", func(t *testing.T) {
		delWithoutAgent(t, node)
		untouched(t)
	})
	t.Run("API cut off", func(t *testing.T) {
		withoutAPI(t, node)
		untouched(t)
	})
	assertTruthful(t, steady)
	if err := steady.Attachments[0].Check(t.Context()); err != nil {
		t.Errorf("CHECK at the end: %v", err)
	}
}

// killedInStorm kills the agent with SIGKILL twice while pods are attached and detached (F3). With a new one, all that
// was asked for is done: every pod has what its claim says, nobody has anything twice (I1), and what was detached is free.
func killedInStorm(t *testing.T, node *lab.Node) {
	t.Helper()
	const pods = 24
	var all sync.WaitGroup
	errs := make(chan error, pods)
	sandboxes := make([]*lab.Sandbox, pods)
	attached := make(chan struct{}, pods)
	for i := range pods {
		pod := createPod(t, "faults", fmt.Sprintf("storm-%d", i), "net", node)
		all.Go(func() {
			// kubelet tries again until it works; every failed try ends with a DEL.
			s, err := cluster.RunPodRetrying(t.Context(), pod, node)
			attached <- struct{}{}
			if err == nil && i%3 == 0 {
				err = errors.Join(s.Attachments[0].Detach(t.Context()), cluster.ForgetPod(t.Context(), pod))
			}
			sandboxes[i] = s
			if err != nil {
				errs <- fmt.Errorf("%s: %w", pod.Name, err)
			}
		})
	}
	// In the midst of it: some are attached, the others on their way.
	for range 2 {
		for range pods / 6 {
			<-attached
		}
		node.Agent.Kill()
		if err := node.StartAgent(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if t.Failed() {
		return
	}
	macs := map[string]string{}
	for i, s := range sandboxes {
		stopAtEnd(t, s)
		if i%3 == 0 {
			awaitReleased(t, s.Pod)
			continue
		}
		assertTruthful(t, s)
		link := linkOf(t, s)
		if other := macs[link.MAC]; other != "" {
			t.Errorf("%s and %s have MAC %s", other, s.Pod.Name, link.MAC)
		}
		macs[link.MAC] = s.Pod.Name
		if err := s.Attachments[0].Check(t.Context()); err != nil {
			t.Errorf("CHECK of %s: %v", s.Pod.Name, err)
		}
	}
}

// delWithoutAgent : a DEL succeeds while no agent answers, is kept in the spool, and is applied by the next agent (R-C6). An ADD
// fails with code 11 meanwhile.
func delWithoutAgent(t *testing.T, node *lab.Node) {
	t.Helper()
	gone := runPod(t, "faults", "spooled", "net", node)
	node.Agent.Kill()
	if err := gone.Attachments[0].Detach(t.Context()); err != nil {
		t.Errorf("DEL without an agent: %v", err)
	}
	if gone.HasLink("net1") {
		t.Error("the interface is still there after DEL")
	}
	if len(spooled(t, node)) == 0 {
		t.Error("nothing is in the spool")
	}
	waiting := createPod(t, "faults", "waiting", "net", node)
	_, err := cluster.RunPod(t.Context(), waiting, node)
	assertProblem(t, err, "MP501")
	if got := lab.CNICode(err); got != 11 {
		t.Errorf("CNI code %d, want 11", got)
	}
	if err := cluster.ForgetPod(t.Context(), gone.Pod); err != nil {
		t.Fatal(err)
	}
	// Without the word of its node nothing is released.
	if _, err := heldBy(t.Context(), gone.Pod); err != nil {
		t.Errorf("the holder was cleared although its node has said nothing: %v", err)
	}
	if err := node.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitReleased(t, gone.Pod)
	eventually(t, "the spool is empty", func(context.Context) error {
		if files := spooled(t, node); len(files) > 0 {
			return fmt.Errorf("it has %v", files)
		}
		return nil
	})
	s, err := cluster.RunPodRetrying(t.Context(), waiting, node)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, s)
	assertTruthful(t, s)
}

func spooled(t *testing.T, node *lab.Node) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(node.StateDir(), "spool", "[^.]*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// withoutAPI cuts the node off the API server (F14, F5): DEL succeeds and frees nothing yet; beyond the fencing window ADD is
// refused with code 11 and STATUS says 50; the agent, killed and started meanwhile, remembers. When the API is back the DEL is
// applied and pods start.
func withoutAPI(t *testing.T, node *lab.Node) {
	t.Helper()
	gone := runPod(t, "faults", "cut-off", "net", node)
	waiting := createPod(t, "faults", "waiting-for-api", "net", node)
	nets, err := cluster.Networks(t.Context(), waiting)
	if err != nil {
		t.Fatal(err)
	}
	node.API.Cut()
	healed := false
	t.Cleanup(func() {
		if !healed {
			node.API.Heal()
		}
	})
	if err := gone.Attachments[0].Detach(t.Context()); err != nil {
		t.Errorf("DEL without the API: %v", err)
	}
	if err := cluster.ForgetPod(t.Context(), gone.Pod); err != nil {
		t.Fatal(err)
	}
	verbs := nets[0]
	verbs.Config = strings.Replace(verbs.Config, `"1.0.0"`, `"1.1.0"`, 1)
	awaitStatus(t, node, verbs, 50)
	assertRefusedOffline(t, waiting, node)
	if claim, err := heldBy(t.Context(), gone.Pod); err != nil {
		t.Errorf("the holder was cleared although its node is cut off: %v", err)
	} else {
		assertLeased(t, claim.Status.LeaseName)
	}

	node.API.Heal()
	healed = true
	awaitReleased(t, gone.Pod)
	s, err := cluster.RunPodRetrying(t.Context(), waiting, node)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, s)
	assertTruthful(t, s)
	awaitStatus(t, node, verbs, 0)
}

func assertRefusedOffline(t *testing.T, pod *corev1.Pod, node *lab.Node) {
	t.Helper()
	start := time.Now()
	_, err := cluster.RunPod(t.Context(), pod, node)
	if got := lab.CNICode(err); got != 11 {
		t.Errorf("ADD without the API: code %d, want 11: %v", got, err)
	}
	assertProblem(t, err, "MP502")
	if took := time.Since(start); took > 35*time.Second {
		t.Errorf("the refusal took %s", took)
	}
}

func assertLeased(t *testing.T, name string) {
	t.Helper()
	leases, err := leasesOf(t.Context(), "faults")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(leases, func(l v1alpha1.MacLease) bool { return l.Name == name }) {
		t.Errorf("lease %s was released", name)
	}
}

// awaitReleased waits until the claims of a pod that is gone, and their leases, are (I5).
func awaitReleased(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	eventually(t, "the lease of pod "+pod.Name+" is released", func(ctx context.Context) error {
		if _, err := heldBy(ctx, pod); err == nil {
			return errors.New("its claim is still held")
		}
		leases, err := leasesOf(ctx, "faults")
		if err != nil {
			return err
		}
		for _, l := range leases {
			if strings.HasPrefix(l.Spec.ClaimRef.Name, pod.Name+".") {
				return fmt.Errorf("lease %s is still leased", l.Name)
			}
		}
		return nil
	})
}
