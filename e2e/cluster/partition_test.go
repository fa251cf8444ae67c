// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// TestPowerCut: a node loses its power and stays off. The pod that replaces its pod gets the address, when the node has been silent
// for long enough and nothing answers for it on the VLAN (R-G4, R-G5, F4, M24).
func TestPowerCut(t *testing.T) {
	if testing.Short() {
		t.Skip("takes two minutes; make e2e has the silence and the takeover, too, and make chaos cuts the power")
	}
	ns, before, old := onNode2(t, "power")
	t.Cleanup(func() { _ = script(context.Background(), "node-up.sh", "2") })
	mustScript(t, "node-down.sh", "2")
	replaceByForce(t, ns, old)

	pods := running(t, ns, "cut", 1)
	if after := attached(t, pods); after["cut-0"] != before {
		t.Errorf("its successor has %v, it had %v (I4)", after["cut-0"], before)
	}
	tookOver(t, &pods[0], old)

	mustScript(t, "node-up.sh", "2")
	nodeReady(t, "n2", true)
	if n := answers(t, before.IP); n != 1 {
		t.Errorf("with the node back, %d answer for %s, want 1 (I1)", n, before.IP)
	}
}

// TestCutOffFromTheAPI: a node loses the API and still has its trunk. Its pod answers on the VLAN all the while; so its successor
// does not start until the node is back and has ended it (R-G5, F14, M15).
func TestCutOffFromTheAPI(t *testing.T) {
	removed := leftReport(t) // which takes as long
	ns, before, old := onNode2(t, "cut-api")
	plug := unplug(t, "mpbox-u2")
	replaceByForce(t, ns, old)

	eventually(t, "the successor to be told that its predecessor is alive", func() error {
		if n := answers(t, before.IP); n != 1 {
			t.Fatalf("%d answer for %s while its node is cut off from the API, want 1", n, before.IP)
		}
		out := kubectl(t, "get", "events", "-n", ns, "-o", "custom-columns=R:.reason,M:.message")
		if !strings.Contains(out, "MP519") {
			return errNotYet
		}
		return nil
	})
	logTable(t, "get", "events", "-n", ns, "--field-selector=reason=PreviousHolderAlive")
	if claim := claimNamed(t, ns); claim.Status.Holder == nil || claim.Status.Holder.PodUID != old.UID {
		t.Errorf("the claim's holder is %v, want the old pod (I2)", claim.Status.Holder)
	}

	plug()
	pods := running(t, ns, "cut", 1)
	if after := attached(t, pods); after["cut-0"] != before {
		t.Errorf("its successor has %v, it had %v (I4)", after["cut-0"], before)
	}
	if n := answers(t, before.IP); n != 1 {
		t.Errorf("with the node back, %d answer for %s, want 1 (I1)", n, before.IP)
	}
	removed()
}

// TestCutOffAltogether: a node loses the API and its trunk, and goes on running its pod, which nobody can hear. The successor takes
// the address over; when both cables are back, the old side is silent after 5 s at most (R-G5, R-G7, F15).
func TestCutOffAltogether(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute and a half; make e2e has the takeover, too, and make chaos cuts nodes off from API and VLAN")
	}
	ns, before, old := onNode2(t, "cut-all")
	plugTrunk := unplug(t, "mpbox-t2")
	plug := unplug(t, "mpbox-u2")
	replaceByForce(t, ns, old)

	pods := running(t, ns, "cut", 1)
	if after := attached(t, pods); after["cut-0"] != before {
		t.Errorf("its successor has %v, it had %v (I4)", after["cut-0"], before)
	}
	tookOver(t, &pods[0], old)

	plug()
	plugTrunk()
	healed := time.Now()
	both := 0
	for time.Since(healed) < 20*time.Second {
		n := answers(t, before.IP)
		switch since := time.Since(healed); {
		case n > 1 && since > 5*time.Second+time.Second: // the last question may have been asked a second before
			t.Fatalf("%s after the heal two answer for %s (R-G7)", since, before.IP)
		case n > 1:
			both++
		}
	}
	t.Logf("after the heal two answered in %d of the rounds", both)
	nodeReady(t, "n2", true)
	if n := answers(t, before.IP); n != 1 {
		t.Errorf("with the node back, %d answer for %s, want 1 (I1)", n, before.IP)
	}
	pings(t, &pods[0], "192.168.50.1")
	logTable(t, "get", "macnodes", "-o", "wide")
}

// onNode2 is a StatefulSet's pod on node n2, and what it has.
func onNode2(t *testing.T, name string) (ns string, has address, pod *corev1.Pod) {
	t.Helper()
	ns = newTestNamespace(t, name)
	kubectl(t, "cordon", "n1")
	uncordon := func() { _, _ = box.tryKubectl(context.Background(), "uncordon", "n1") }
	t.Cleanup(uncordon)
	apply(t, ns, statefulSet("cut", 1, ""))
	pods := running(t, ns, "cut", 1)
	uncordon()
	if pods[0].Spec.NodeName != "n2" {
		t.Fatalf("the pod is on %s", pods[0].Spec.NodeName)
	}
	return ns, attached(t, pods)["cut-0"], &pods[0]
}

// unplug pulls a cable; the function that it returns puts it back.
func unplug(t *testing.T, link string) (plug func()) {
	t.Helper()
	set := func(state string) error {
		out, err := exec.CommandContext(context.Background(), "ip", "link", "set", link, state).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := set("down"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = set("up") })
	return func() {
		if err := set("up"); err != nil {
			t.Fatal(err)
		}
	}
}

// replaceByForce waits until the pod's node is lost, and deletes the pod as people do then.
func replaceByForce(t *testing.T, ns string, old *corev1.Pod) {
	t.Helper()
	nodeReady(t, old.Spec.NodeName, false)
	kubectl(t, "delete", "pod", old.Name, "-n", ns, "--force", "--grace-period=0")
	eventually(t, "a successor of the pod", func() error {
		pod := &corev1.Pod{}
		err := box.Get(t.Context(), client.ObjectKeyFromObject(old), pod)
		if apierrors.IsNotFound(err) || err == nil && (pod.UID == old.UID || pod.Spec.NodeName == "") {
			return errNotYet
		}
		return err
	})
}

func nodeReady(t *testing.T, name string, ready bool) {
	t.Helper()
	eventually(t, fmt.Sprintf("node %s to be ready: %t", name, ready), func() error {
		var node corev1.Node
		if err := box.Get(t.Context(), client.ObjectKey{Name: name}, &node); err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && (c.Status == corev1.ConditionTrue) == ready {
				return nil
			}
		}
		return errNotYet
	})
}

// tookOver checks that the pod's claim says from whom it was taken over.
func tookOver(t *testing.T, pod, old *corev1.Pod) {
	t.Helper()
	claim, err := claimOf(t.Context(), pod)
	if err != nil {
		t.Fatal(err)
	}
	past := claim.Status.PreviousHolders
	if len(past) == 0 || past[0].PodUID != old.UID || past[0].Reason != v1alpha1.EndTakenOver {
		t.Errorf("the claim's previous holders are %+v, want pod %s first, %s", past, old.UID, v1alpha1.EndTakenOver)
		return
	}
	if claim.Status.Holder.Generation != past[0].Generation+1 {
		t.Errorf("the holder's generation is %d after %d", claim.Status.Holder.Generation, past[0].Generation)
	}
	t.Logf("taken over: %s", past[0].Evidence)
}

func claimNamed(t *testing.T, ns string) *v1alpha1.MacClaim {
	t.Helper()
	claim := &v1alpha1.MacClaim{}
	key := types.NamespacedName{Namespace: ns, Name: "cut-0." + poolOf(t, ns) + ".net1"}
	if err := box.Get(t.Context(), key, claim); err != nil {
		t.Fatal(err)
	}
	return claim
}

// poolOf is the pool of the namespace's claims.
func poolOf(t *testing.T, ns string) string {
	t.Helper()
	return kubectl(t, "get", "macclaims", "-n", ns, "-o", "jsonpath={.items[0].spec.poolRef.name}")
}

var received = regexp.MustCompile(`Received (\d+) response`)

// answers is how many interfaces answer one ARP request of the router for the address.
func answers(t *testing.T, ip string) int {
	t.Helper()
	out, _ := exec.CommandContext(t.Context(), "ip", "netns", "exec", "mpbox-router",
		"busybox", "arping", "-I", "eth0.50", "-c", "1", "-w", "1", ip).CombinedOutput() // fails if none answers
	match := received.FindSubmatch(out)
	if match == nil {
		t.Fatalf("arping %s: %s", ip, out)
	}
	n, err := strconv.Atoi(string(match[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
