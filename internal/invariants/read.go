// SPDX-License-Identifier: Apache-2.0

package invariants

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Read is a reading of what the API has, without the agents. reader must read live.
func Read(ctx context.Context, reader client.Reader, now time.Time) (*World, error) {
	var (
		leases     v1alpha1.MacLeaseList
		claims     v1alpha1.MacClaimList
		pools      v1alpha1.MacPoolList
		reports    v1alpha1.MacNodeList
		pods       corev1.PodList
		nodes      corev1.NodeList
		namespaces corev1.NamespaceList
	)
	for _, one := range []struct {
		what string
		list client.ObjectList
	}{
		{"leases", &leases}, {"claims", &claims}, {"pools", &pools}, // the order is World's
		{"pods", &pods}, {"nodes", &nodes}, {"namespaces", &namespaces}, {"what nodes report", &reports},
	} {
		if err := reader.List(ctx, one.list); err != nil {
			return nil, fmt.Errorf("listing %s: %w", one.what, err)
		}
	}
	return &World{
		Now: now, Leases: leases.Items, Claims: claims.Items, Pools: pools.Items, Reports: reports.Items, Pods: pods.Items,
		Nodes: nodes.Items, Namespaces: namespaces.Items,
	}, nil
}
