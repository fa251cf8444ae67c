// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// TestTwoClustersOnOneVLAN: two clusters whose pools have different ranges of one VLAN share it without knowing of each other: no
// MAC and no IP is in both, pods of one reach those of the other, and what one releases the other does not see (R-B3).
func TestTwoClustersOnOneVLAN(t *testing.T) {
	other, err := cluster.Beside("other")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.StartManager(t.Context()); err != nil {
		t.Fatal(err)
	}
	node, err := other.AddNode(t.Context(), "other-a", vlanTwoClusters)
	if err != nil {
		t.Fatal(err)
	}
	if err := node.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}

	owners := map[string]string{} // MAC or IP -> pod
	var sandboxes []*lab.Sandbox
	for i, side := range []struct {
		lab  *lab.Lab
		node *lab.Node
		from string
		to   string
	}{
		{cluster, cluster.Nodes[0], "10.%d.0.10", "10.%d.0.19"},
		{other, node, "10.%d.0.20", "10.%d.0.29"},
	} {
		pool := newPool("two-clusters", vlanTwoClusters, 1)
		pool.Spec.Subnets[0].Ranges[0].AddressRange = v1alpha1.AddressRange{
			Start: v1alpha1.IPAddress(fmt.Sprintf(side.from, vlanTwoClusters)), End: v1alpha1.IPAddress(fmt.Sprintf(side.to, vlanTwoClusters)),
		}
		for _, object := range []client.Object{
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "two-clusters"}},
			pool,
			&nadv1.NetworkAttachmentDefinition{
				ObjectMeta: metav1.ObjectMeta{Namespace: "two-clusters", Name: "net"},
				Spec:       nadv1.NetworkAttachmentDefinitionSpec{Config: macvlanConfig("1.0.0", vlanTwoClusters, "two-clusters")},
			},
		} {
			if err := side.lab.Client.Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the pool is ready", func(ctx context.Context) error {
			if err := side.lab.Client.Get(ctx, client.ObjectKeyFromObject(pool), pool); err != nil {
				return err
			}
			if !apimeta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.PoolReady) {
				return errors.New("not yet")
			}
			return nil
		})
		// As many as there are addresses, under the same names on either side.
		for n := range 10 {
			pod := lab.NewPod("two-clusters", fmt.Sprintf("pod-%d", n), "net")
			if err := side.lab.CreatePod(t.Context(), pod, side.node); err != nil {
				t.Fatal(err)
			}
			s, err := side.lab.RunPodRetrying(t.Context(), pod, side.node)
			if err != nil {
				t.Fatal(err)
			}
			stopAtEnd(t, s)
			sandboxes = append(sandboxes, s)
			link := linkOf(t, s)
			for _, a := range append(ipsOf(link), link.MAC) {
				who := fmt.Sprintf("pod %s of cluster %d", pod.Name, i)
				if before := owners[a]; before != "" {
					t.Errorf("%s and %s both have %s (I1)", before, who, a)
				}
				owners[a] = who
			}
		}
	}
	if len(owners) != 40 {
		t.Errorf("%d addresses and MACs for 20 pods, want 40", len(owners))
	}
	assertReach(t, sandboxes[0], sandboxes[len(sandboxes)-1])
	assertReach(t, sandboxes[len(sandboxes)-1], sandboxes[0])
}
