// SPDX-License-Identifier: Apache-2.0

package view

import (
	"context"
	"time"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Since is a cache whose handlers are told of what is made, changed and deleted since they listen, and not of what was there. That is for who
// looks at an object because another one has changed, where the object is looked at by itself at the start: the cluster would be gone through
// once more for each such handler. Of packed objects none is unpacked for it.
type Since struct{ cache.Cache }

// GetInformer is cache.Informers'.
func (s Since) GetInformer(ctx context.Context, of client.Object, options ...cache.InformerGetOption) (cache.Informer, error) {
	informer, err := s.Cache.GetInformer(ctx, of, options...)
	if err != nil {
		return nil, err
	}
	return sinceInformer{informer}, nil
}

type sinceInformer struct{ cache.Informer }

// AddEventHandler is cache.Informer's.
func (i sinceInformer) AddEventHandler(h toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.Informer.AddEventHandler(since{h})
}

// AddEventHandlerWithResyncPeriod is cache.Informer's.
func (i sinceInformer) AddEventHandlerWithResyncPeriod(
	h toolscache.ResourceEventHandler, resync time.Duration,
) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.Informer.AddEventHandlerWithResyncPeriod(since{h}, resync)
}

// AddEventHandlerWithOptions is cache.Informer's.
func (i sinceInformer) AddEventHandlerWithOptions(
	h toolscache.ResourceEventHandler, options toolscache.HandlerOptions,
) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.Informer.AddEventHandlerWithOptions(since{h}, options)
}

// since is such a handler.
type since struct {
	toolscache.ResourceEventHandler
}

// OnAdd is ResourceEventHandler's.
func (h since) OnAdd(object any, initial bool) {
	if !initial {
		h.ResourceEventHandler.OnAdd(object, initial)
	}
}
