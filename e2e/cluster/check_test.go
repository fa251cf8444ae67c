// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checkAnswer is what the test reads of kubectl macpool check -o json.
type checkAnswer struct {
	Compared   struct{ Agents, Interfaces int }
	Violations []struct{ Invariant, Sentence string }
}

// buildMacpool builds kubectl-macpool, as the images' programs are built: what these have in common is compiled once.
func buildMacpool(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "kubectl-macpool")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", program, "../../cmd/kubectl-macpool")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building kubectl-macpool: %v\n%s", err, out)
	}
	return program
}

// macpoolCommand returns how kubectl-macpool is run as the cluster's administrator: what it writes, and its exit status.
func macpoolCommand(t *testing.T) func(args ...string) (string, int) {
	t.Helper()
	program := buildMacpool(t)
	return func(args ...string) (string, int) {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+box.kubeconfig())
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if said.Len() > 0 {
			t.Logf("kubectl macpool %s: %s", strings.Join(args, " "), &said)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
}

// TestCheck proves R-O3 on real nodes: check asks the agents in their pods, finds nothing while all is in order, and finds by the kernel's word an
// interface that somebody has given another MAC (I3) and an address that is not its own (I1).
func TestCheck(t *testing.T) {
	macpool := macpoolCommand(t)
	ns := newTestNamespace(t, "checked")
	apply(t, ns, statefulSet("watched", 2, ""))
	pods := running(t, ns, "watched", 2)
	given := attached(t, pods)

	check := func() (a checkAnswer, status int, err error) {
		out, status := macpool("check", "--require-agents", "-o", "json")
		return a, status, json.Unmarshal([]byte(out), &a)
	}
	inOrder := func() error { // tests before this one may have left something for the manager to release
		a, status, err := check()
		if err != nil || status != 0 || a.Compared.Agents != 2 || a.Compared.Interfaces < 2 {
			return fmt.Errorf("exit status %d (%w): %+v", status, err, a)
		}
		return nil
	}
	eventually(t, "check to find all in order", inOrder)

	// Down, so that no frame of the MAC is on the VLAN.
	victim := &pods[0]
	mac := given[victim.Name].MAC
	inPod := func(ctx context.Context, script string) {
		t.Helper()
		out, err := tryOnNode(ctx, victim.Spec.NodeName, "bash", "-c", fmt.Sprintf(
			`for ns in /run/netns/*; do nsenter --net="$ns" ip -o -4 addr show net1 2>/dev/null | grep -q ' %s/' && exec nsenter --net="$ns" bash -ec '%s'; done; exit 1`,
			given[victim.Name].IP, script))
		if err != nil {
			t.Errorf("in pod %s: %v\n%s", victim.Name, err, out)
		}
	}
	t.Cleanup(func() { inPod(context.Background(), "ip link set net1 address "+mac) })
	inPod(t.Context(), "ip link set net1 down; ip link set net1 address 02:00:00:00:00:01; ip addr add 192.168.50.222/32 dev net1")

	a, status, err := check()
	if err != nil || status != 3 {
		t.Errorf("with an interface that was changed the exit status is %d (%v), want 3: %+v", status, err, a)
	}
	name := fmt.Sprintf("interface net1 of pod %s/%s on node %s has ", ns, victim.Name, victim.Spec.NodeName)
	for _, want := range []string{"I3 " + name + "MAC 02:00:00:00:00:01, and was given " + mac, "I1 " + name + "address 192.168.50.222 too, which pool iot leases"} {
		found := false
		for _, v := range a.Violations {
			found = found || strings.HasPrefix(v.Invariant+" "+v.Sentence, want)
		}
		if !found {
			t.Errorf("it does not say %q: %+v", want, a.Violations)
		}
	}
	text, _ := macpool("check")
	t.Logf("$ kubectl macpool check\n%s", text)
	inPod(t.Context(), "ip link set net1 address "+mac+"; ip addr del 192.168.50.222/32 dev net1")
	eventually(t, "check to find all in order again", inOrder)
}
