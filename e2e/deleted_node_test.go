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
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// TestDeletedNode : of two nodes that were deleted from the API, one is off and the other is not. The other nodes ask the VLAN (R-G4):
// the address of the first becomes free for its identity, and that of the second is kept, for as long as its pod answers there.
func TestDeletedNode(t *testing.T) {
	namespace(t, "deleted")
	createPool(t, newPool("deleted", vlanDeletedNode, 10))
	createNetwork(t, "deleted", "net", macvlanConfig("1.0.0", vlanDeletedNode, "deleted"))
	off, on := temporaryNode(t, "node-off", vlanDeletedNode), temporaryNode(t, "node-on", vlanDeletedNode)
	lost, alive := runPod(t, "deleted", "lost-0", "net", off), runPod(t, "deleted", "alive-0", "net", on)
	before, kept := linkOf(t, lost), linkOf(t, alive)
	held, err := heldBy(t.Context(), alive.Pod)
	if err != nil {
		t.Fatal(err)
	}
	freed, err := heldBy(t.Context(), lost.Pod)
	if err != nil {
		t.Fatal(err)
	}

	if err := off.Unplug(); err != nil {
		t.Fatal(err)
	}
	for node, s := range map[*lab.Node]*lab.Sandbox{off: lost, on: alive} {
		node.Agent.Kill()
		object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node.Name}}
		if err := errors.Join(cluster.ForgetPod(t.Context(), s.Pod), cluster.Client.Delete(t.Context(), object)); err != nil {
			t.Fatal(err)
		}
	}
	again := createPod(t, "deleted", "lost-0", "net", cluster.Nodes[0])

	eventually(t, "the hold of the node that is off is ended", func(ctx context.Context) error {
		if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(freed), freed); err != nil {
			return err
		}
		ended := freed.Status.PreviousHolders
		if len(ended) == 0 || ended[0].PodUID != lost.Pod.UID || ended[0].Reason != v1alpha1.EndNodeDeleted {
			return fmt.Errorf("the claim is %+v", freed.Status)
		}
		return nil
	})
	t.Logf("the evidence: %s", freed.Status.PreviousHolders[0].Evidence)
	s, err := cluster.RunPodRetrying(t.Context(), again, cluster.Nodes[0])
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, s)
	if after := linkOf(t, s); after.MAC != before.MAC || !slices.Equal(after.IPs, before.IPs) {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}

	eventually(t, "the pod that is not off is heard", func(ctx context.Context) error {
		if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(held), held); err != nil {
			return err
		}
		suspect := apimeta.FindStatusCondition(held.Status.Conditions, v1alpha1.ClaimSuspect)
		if suspect == nil || suspect.Reason != v1alpha1.ClaimReasonNodeDeleted || !strings.Contains(suspect.Message, kept.MAC) {
			return fmt.Errorf("condition %+v", suspect)
		}
		return heardBy(ctx, held.Status.LeaseName, kept.MAC, standing)
	})
	if h := held.Status.Holder; h == nil || h.PodUID != alive.Pod.UID {
		t.Errorf("the holder is %+v, although it answers", h)
	}

	// An administrator who knows better ends it, and nobody asks any more.
	patch := client.MergeFrom(held.DeepCopy())
	held.Annotations = map[string]string{v1alpha1.AnnotationForceRelease: "the machine was scrapped"}
	if err := cluster.Client.Patch(t.Context(), held, patch); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is asked", func(ctx context.Context) error {
		pool := &v1alpha1.MacPool{}
		if err := cluster.Client.Get(ctx, client.ObjectKey{Name: "deleted"}, pool); err != nil {
			return err
		}
		if len(pool.Status.Questions) > 0 {
			return fmt.Errorf("asked: %+v", pool.Status.Questions)
		}
		return nil
	})
}

// standing is how many nodes stand for all tests. Others come and go.
const standing = 4

// heardBy fails unless so many nodes have reported that the MAC answers for the lease.
func heardBy(ctx context.Context, lease, mac string, nodes int) error {
	all := &v1alpha1.MacNodeList{}
	if err := cluster.Client.List(ctx, all); err != nil {
		return err
	}
	heard := 0
	for _, n := range all.Items {
		if slices.ContainsFunc(n.Status.Answers, func(a v1alpha1.WireAnswer) bool { return a.LeaseName == lease && a.AnsweredBy == mac }) {
			heard++
		}
	}
	if heard < nodes {
		return fmt.Errorf("heard by %d nodes, want %d", heard, nodes)
	}
	return nil
}

// temporaryNode is a node that no other test sees.
func temporaryNode(t *testing.T, name string, vlan int) *lab.Node {
	t.Helper()
	all := cluster.Nodes
	n, err := cluster.AddNode(t.Context(), name, vlan)
	cluster.Nodes = all
	if err != nil {
		t.Fatal(err)
	}
	if err := n.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}
