// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/invariants"
)

// source is where readings come from.
type source struct {
	*cli.Factory

	reader client.Reader
}

// read reads everything, live: the leases first, and what speaks for or against them after that.
func (s *source) read(ctx context.Context) (*reading, error) {
	r := &reading{World: &invariants.World{Now: s.Clock.Now()}}
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
		{"leases", &leases}, {"claims", &claims}, {"pools", &pools},
		{"pods", &pods}, {"nodes", &nodes}, {"namespaces", &namespaces},
	} {
		if err := s.reader.List(ctx, one.list); err != nil {
			return nil, fmt.Errorf("listing %s: %w", one.what, err)
		}
	}
	r.Leases, r.Claims, r.Pools = leases.Items, claims.Items, pools.Items
	r.Pods, r.Nodes, r.Namespaces = pods.Items, nodes.Items, namespaces.Items
	// Agents before their reports: an agent that has just attached something may not have reported it, and the next reading says so.
	if err := s.reader.List(ctx, &reports); err != nil {
		return nil, fmt.Errorf("listing what nodes report: %w", err)
	}
	r.Reports = reports.Items
	r.Agents, r.unasked = s.askAgents(ctx, r.World)
	return r, nil
}
