// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/network"
	"github.com/macpool/macpool/internal/problem"
)

// fieldIndex is an index of the manager's cache: by it the event of one object finds the others that it concerns. Each
// belongs to the reconciler that registers it, since the cache takes none twice; others may use it.
type fieldIndex struct {
	object client.Object
	field  string
	values client.IndexerFunc
}

// yes is the value of an index that only tells some objects from the others.
const yes = "yes"

var (
	// claimsByPod : claims -> the name of their workload's pod.
	claimsByPod = indexOf("pod", func(c *v1alpha1.MacClaim) []string {
		if c.Spec.Workload == nil || binding.PodName(*c.Spec.Workload) == "" {
			return nil
		}
		return []string{binding.PodName(*c.Spec.Workload)}
	})
	// claimsByFamily : claims of workloads whose pods have no certain names -> the workload.
	claimsByFamily = indexOf("family", func(c *v1alpha1.MacClaim) []string {
		if c.Spec.Workload == nil || binding.PodName(*c.Spec.Workload) != "" {
			return nil
		}
		return []string{binding.FamilyOf(*c.Spec.Workload)}
	})
	// claimsBySet : claims -> the name of their StatefulSet.
	claimsBySet = indexOf("statefulset", func(c *v1alpha1.MacClaim) []string {
		if c.Spec.Workload == nil || c.Spec.Workload.Kind != v1alpha1.WorkloadStatefulSet {
			return nil
		}
		return []string{c.Spec.Workload.Name}
	})
	// claimsByLease : claims -> the lease that they name.
	claimsByLease = indexOf("lease", func(c *v1alpha1.MacClaim) []string {
		if c.Status.LeaseName == "" {
			return nil
		}
		return []string{c.Status.LeaseName}
	})
	// claimsWithoutLease : claims that have none -> yes.
	claimsWithoutLease = indexOf("unleased", func(c *v1alpha1.MacClaim) []string {
		if c.Status.LeaseName != "" {
			return nil
		}
		return []string{yes}
	})
	// waitingByPool : claims that wait for a lease -> their pool.
	waitingByPool = indexOf("waiting", func(c *v1alpha1.MacClaim) []string {
		if c.Status.LeaseName != "" || !c.DeletionTimestamp.IsZero() {
			return nil
		}
		return []string{c.Spec.PoolRef.Name}
	})
	// claimsByHolder : claims that are held -> the name of the pod. claimsByNode : -> its node. claimsByHeldLease : -> their lease.
	claimsByHolder    = indexOf("holder", ofHeld(func(_ *v1alpha1.MacClaim, h *v1alpha1.Holder) string { return h.PodName }))
	claimsByNode      = indexOf("node", ofHeld(func(_ *v1alpha1.MacClaim, h *v1alpha1.Holder) string { return h.NodeName }))
	claimsByHeldLease = indexOf("heldlease", ofHeld(func(c *v1alpha1.MacClaim, _ *v1alpha1.Holder) string { return c.Status.LeaseName }))
	// suspectsByPool : claims whose holder may be gone -> their pool.
	suspectsByPool = indexOf("suspect", func(c *v1alpha1.MacClaim) []string {
		if suspicion(c).Reason == "" {
			return nil
		}
		return []string{c.Spec.PoolRef.Name}
	})
	// poolsBySegment : pools -> the segment that they lease in.
	poolsBySegment = indexOf("segment", func(p *v1alpha1.MacPool) []string { return []string{binding.SegmentOf(p)} })
	// releasedByPool : leases that were released -> their pool.
	releasedByPool = indexOf("released", func(l *v1alpha1.MacLease) []string {
		if l.Spec.ReleasedAt == nil {
			return nil
		}
		return []string{l.Spec.PoolName}
	})
	// conflictedByPool : leases whose address a stranger uses -> their pool. strangersByPool : nodes that have heard one use an
	// attached address -> the pools.
	conflictedByPool = indexOf("conflicted", func(l *v1alpha1.MacLease) []string {
		if l.Spec.Conflict == nil {
			return nil
		}
		return []string{l.Spec.PoolName}
	})
	strangersByPool = indexOf("strangers", strangersReported.poolNames)
	// parentsByPool : nodes that report by which link they reach a VLAN -> the pools.
	parentsByPool = indexOf("parents", parentsReported.poolNames)
	// podsByNetwork : pods -> the networks that they select, as namespace/name.
	podsByNetwork = indexOf("network", func(pod *corev1.Pod) []string {
		selections, trouble := network.SelectionsOf(pod)
		if trouble != nil {
			return nil
		}
		networks := make([]string, 0, len(selections))
		for _, s := range selections {
			networks = append(networks, s.Network.String())
		}
		return networks
	})
	// podsByClaim : pods -> the claims that they name.
	podsByClaim = indexOf("claim", func(pod *corev1.Pod) []string {
		names, err := binding.NamedClaims(pod)
		if err != nil {
			return nil
		}
		return slices.Collect(maps.Values(names))
	})
	// podsByVM : pods -> the VM that they run.
	podsByVM = indexOf("vm", func(pod *corev1.Pod) []string {
		if name := binding.VMName(pod); name != "" {
			return []string{name}
		}
		return nil
	})
	// networksByPool : networks -> the pool that they name.
	networksByPool = indexOf("pool", poolsOfNetwork)
	// lintedByPool is networksByPool for MacPoolReconciler, namersByPool for NADReconciler, askedByPool for HolderReconciler.
	lintedByPool = indexOf("linted", poolsOfNetwork)
	namersByPool = indexOf("namer", poolsOfNetwork)
	askedByPool  = indexOf("asked", poolsOfNetwork)
)

// ofHeld is a value of claims for each of their holders, of which most have one.
func ofHeld(value func(*v1alpha1.MacClaim, *v1alpha1.Holder) string) func(*v1alpha1.MacClaim) []string {
	return func(c *v1alpha1.MacClaim) []string {
		var values []string
		for _, holder := range binding.Holders(c) {
			if v := value(c, holder); !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
		return values
	}
}

func poolsOfNetwork(nad *nadv1.NetworkAttachmentDefinition) []string {
	n, trouble := network.Of(nad)
	if trouble != nil || n.Pool == "" {
		return nil
	}
	return []string{n.Pool}
}

func indexOf[O any, T interface {
	*O
	client.Object
}](field string, values func(T) []string) fieldIndex {
	return fieldIndex{object: T(new(O)), field: field, values: func(object client.Object) []string {
		if typed, ok := object.(T); ok {
			return values(typed)
		}
		return nil
	}}
}

// is selects what the index has under a value.
func (x fieldIndex) is(value string) client.MatchingFields {
	return client.MatchingFields{x.field: value}
}

func register(ctx context.Context, mgr ctrl.Manager, indexes ...fieldIndex) error {
	for _, x := range indexes {
		err := mgr.GetFieldIndexer().IndexField(ctx, x.object, x.field, x.values)
		if apimeta.IsNoMatchError(err) {
			return problem.DefinitionMissing.New(reflect.TypeOf(x.object).Elem().Name()).WithCause(err)
		}
		if err != nil {
			return fmt.Errorf("indexing %T by %s: %w", x.object, x.field, err)
		}
	}
	return nil
}
