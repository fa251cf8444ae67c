// SPDX-License-Identifier: Apache-2.0

package view

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Sampler reads a cache, and unpacks no more than it is asked for where only some objects are wanted, whichever: a list of a client unpacks all
// of them, and then takes the first. While the cache is being filled, which takes its time in a large cluster, it asks the API server for them.
type Sampler struct {
	client.Reader

	// Cache is what Reader reads.
	Cache cache.Cache
	// Live is asked before the cache has the objects.
	Live client.Reader
}

// List is client.Reader's.
func (s Sampler) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(options)
	var kind client.Object
	switch list.(type) {
	case *corev1.NodeList:
		kind = &corev1.Node{}
	case *corev1.PodList:
		kind = &corev1.Pod{}
	case *v1alpha1.MacClaimList:
		kind = &v1alpha1.MacClaim{}
	}
	if kind == nil || o.Limit == 0 || o.Namespace != "" || o.LabelSelector != nil || o.FieldSelector != nil {
		return s.Reader.List(ctx, list, options...)
	}
	informer, err := s.Cache.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("reading the cache of %T: %w", kind, err)
	}
	if !informer.HasSynced() {
		return s.Live.List(ctx, list, options...)
	}
	p, ok := informer.(*packing)
	if !ok {
		return s.Reader.List(ctx, list, options...)
	}
	stored := p.SharedIndexInformer.GetIndexer().List()
	some := make([]runtime.Object, 0, o.Limit)
	for _, one := range stored[:min(int64(len(stored)), o.Limit)] {
		if object, ok := unpack(one).(runtime.Object); ok {
			some = append(some, object)
		}
	}
	return apimeta.SetList(list, some)
}
