// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// TestTakeover cuts a node off, first from the API alone and then from the VLAN too, while its StatefulSet's pod is replaced by force. The
// successor is refused as long as the old pod answers on the VLAN (R-G5, F14, M24), gets its address when nothing does (F15), and
// when the node is back the old interface goes (R-G7).
func TestTakeover(t *testing.T) {
	namespace(t, "takeover")
	createPool(t, newPool("takeover", vlanTakeover, 10))
	createNetwork(t, "takeover", "net", macvlanConfig("1.0.0", vlanTakeover, "takeover"))
	away, here := temporaryNode(t, "node-away", vlanTakeover), cluster.Nodes[0]
	old := runPod(t, "takeover", "db-0", "net", away)
	other := runPod(t, "takeover", "other", "net", away)
	peer := runPod(t, "takeover", "peer", "net", cluster.Nodes[1])
	before, untouched := linkOf(t, old), linkOf(t, other).String()

	away.API.Cut()
	reportReady(t, away, corev1.ConditionUnknown)
	if err := cluster.ForgetPod(t.Context(), old.Pod); err != nil {
		t.Fatal(err)
	}
	again := createPod(t, "takeover", "db-0", "net", here)
	_, err := cluster.RunPod(t.Context(), again, here)
	assertProblem(t, err, "MP520")
	eventually(t, "the old pod is heard on the VLAN", func(ctx context.Context) error {
		_, err := cluster.RunPod(ctx, again, here)
		if err == nil {
			t.Fatal("the successor was attached beside the pod that answers")
		}
		if !strings.Contains(err.Error(), "MP519: "+before.MAC) {
			return err
		}
		return nil
	})
	eventually(t, "an event says so", func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := cluster.Client.List(ctx, &events, client.InNamespace("takeover")); err != nil {
			return err
		}
		if !slices.ContainsFunc(events.Items, func(e eventsv1.Event) bool {
			return e.Regarding.UID == again.UID && e.Reason == "PreviousHolderAlive"
		}) {
			return fmt.Errorf("there are %d others", len(events.Items))
		}
		return nil
	})
	assertReach(t, peer, old)

	if err := away.Unplug(); err != nil {
		t.Fatal(err)
	}
	s, err := cluster.RunPodRetrying(t.Context(), again, here)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, s)
	after := linkOf(t, s).String()
	if got := linkOf(t, s); got.MAC != before.MAC || !slices.Equal(got.IPs, before.IPs) {
		t.Errorf("got\n%s\nwant\n%s", got, before)
	}
	claim, err := heldBy(t.Context(), s.Pod)
	if err != nil {
		t.Fatal(err)
	}
	if past := claim.Status.PreviousHolders; claim.Status.Holder.Generation != 2 || len(past) != 1 || past[0].PodUID != old.Pod.UID || past[0].Reason != v1alpha1.EndTakenOver {
		t.Errorf("the claim is %+v", claim.Status)
	}
	assertReach(t, peer, s)

	if err := away.Plug(); err != nil {
		t.Fatal(err)
	}
	away.API.Heal()
	eventually(t, "the old interface is gone", func(context.Context) error {
		if old.HasLink("net1") {
			return errors.New("it is there")
		}
		return nil
	})
	if got := linkOf(t, s).String(); got != after {
		t.Errorf("the successor has\n%s\nit had\n%s", got, after)
	}
	if got := linkOf(t, other).String(); got != untouched {
		t.Errorf("the old node's other pod has\n%s\nit had\n%s", got, untouched)
	}
	assertReach(t, peer, s)
	assertTruthful(t, s)
	assertTruthful(t, other)
	eventually(t, "the node reports it", func(ctx context.Context) error {
		report := &v1alpha1.MacNode{}
		if err := cluster.Client.Get(ctx, client.ObjectKey{Name: away.Name}, report); err != nil {
			return err
		}
		if len(report.Status.Fenced) != 1 || report.Status.Fenced[0].PodUID != old.Pod.UID {
			return fmt.Errorf("it has fenced %+v", report.Status.Fenced)
		}
		return nil
	})
	// The node serves again, and the late end of the old pod takes nothing from the new one.
	reportReady(t, away, corev1.ConditionTrue)
	runPod(t, "takeover", "next", "net", away)
	if err := old.Attachments[0].Detach(t.Context()); err != nil {
		t.Error(err)
	}
	assertTruthful(t, s)
}

// reportReady says of a node what its kubelet, or in its place the node controller, would say.
func reportReady(t *testing.T, n *lab.Node, status corev1.ConditionStatus) {
	t.Helper()
	node := &corev1.Node{}
	if err := cluster.Client.Get(t.Context(), client.ObjectKey{Name: n.Name}, node); err != nil {
		t.Fatal(err)
	}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
	if err := cluster.Client.Status().Update(t.Context(), node); err != nil {
		t.Fatal(err)
	}
}
