// SPDX-License-Identifier: Apache-2.0

package view

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
)

// packing is an informer whose store has its objects packed. Whoever reads it, or is told of what changes, gets objects that are
// unpacked for him, as from any informer.
type packing struct {
	toolscache.SharedIndexInformer

	indexes *coarse
	// turn waits until it is this informer's turn to read the cluster; false if ctx ends before.
	turn func(ctx context.Context) bool
}

// RunWithContext is SharedInformer's.
func (p *packing) RunWithContext(ctx context.Context) {
	if p.turn(ctx) {
		p.SharedIndexInformer.RunWithContext(ctx)
	}
}

// Run is SharedInformer's.
func (p *packing) Run(stop <-chan struct{}) { p.RunWithContext(wait.ContextForChannel(stop)) }

// SetTransform is SharedInformer's: packing comes after it.
func (p *packing) SetTransform(transform toolscache.TransformFunc) error {
	return p.SharedIndexInformer.SetTransform(func(in any) (any, error) {
		if _, ok := in.(packed); ok {
			return in, nil // an informer may have things transformed again
		}
		if transform != nil {
			out, err := transform(in)
			if err != nil {
				return nil, err
			}
			in = out
		}
		return p.indexes.pack(in)
	})
}

// AddIndexers is SharedIndexInformer's.
func (p *packing) AddIndexers(indexers toolscache.Indexers) error {
	return p.SharedIndexInformer.AddIndexers(p.indexes.add(indexers))
}

// GetIndexer is SharedIndexInformer's.
func (p *packing) GetIndexer() toolscache.Indexer {
	return &unpackingStore{p.SharedIndexInformer.GetIndexer(), p.indexes}
}

// GetStore is SharedInformer's.
func (p *packing) GetStore() toolscache.Store { return p.GetIndexer() }

// AddEventHandler is SharedInformer's.
func (p *packing) AddEventHandler(h toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	return p.SharedIndexInformer.AddEventHandler(unpackingHandler{h})
}

// AddEventHandlerWithResyncPeriod is SharedInformer's.
func (p *packing) AddEventHandlerWithResyncPeriod(
	h toolscache.ResourceEventHandler, resync time.Duration,
) (toolscache.ResourceEventHandlerRegistration, error) {
	return p.SharedIndexInformer.AddEventHandlerWithResyncPeriod(unpackingHandler{h}, resync)
}

// AddEventHandlerWithOptions is SharedInformer's.
func (p *packing) AddEventHandlerWithOptions(
	h toolscache.ResourceEventHandler, options toolscache.HandlerOptions,
) (toolscache.ResourceEventHandlerRegistration, error) {
	return p.SharedIndexInformer.AddEventHandlerWithOptions(unpackingHandler{h}, options)
}

// unpackingHandler tells a handler of objects.
type unpackingHandler struct {
	to toolscache.ResourceEventHandler
}

// OnAdd is ResourceEventHandler's.
func (h unpackingHandler) OnAdd(object any, initial bool) {
	if _, ok := h.to.(since); ok && initial {
		return // before it is unpacked
	}
	h.to.OnAdd(unpack(object), initial)
}

// OnUpdate is ResourceEventHandler's.
func (h unpackingHandler) OnUpdate(old, object any) { h.to.OnUpdate(unpack(old), unpack(object)) }

// OnDelete is ResourceEventHandler's.
func (h unpackingHandler) OnDelete(object any) {
	if missed, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		missed.Obj = unpack(missed.Obj)
		object = missed
	}
	h.to.OnDelete(unpack(object))
}

// unpackingStore reads from a store. It is for those who read: the informer itself writes.
type unpackingStore struct {
	toolscache.Indexer

	indexes *coarse
}

// List is Store's.
func (s *unpackingStore) List() []any { return unpackAll(s.Indexer.List()) }

func unpackAll(list []any) []any {
	for i := range list {
		list[i] = unpack(list[i])
	}
	return list
}

// Get is Store's.
func (s *unpackingStore) Get(object any) (any, bool, error) {
	found, ok, err := s.Indexer.Get(object)
	return unpack(found), ok, err
}

// GetByKey is Store's.
func (s *unpackingStore) GetByKey(key string) (any, bool, error) {
	found, ok, err := s.Indexer.GetByKey(key)
	return unpack(found), ok, err
}

// GetIndexers is Indexer's.
func (s *unpackingStore) GetIndexers() toolscache.Indexers { return s.indexes.indexers() }

// AddIndexers is Indexer's.
func (s *unpackingStore) AddIndexers(indexers toolscache.Indexers) error {
	return s.Indexer.AddIndexers(s.indexes.add(indexers))
}

// ByIndex is Indexer's.
func (s *unpackingStore) ByIndex(index, value string) ([]any, error) {
	values, number, err := s.indexes.of(index)
	if err != nil {
		return nil, err
	}
	hash := hashOf(value)
	candidates, err := s.Indexer.ByIndex(index, bucketOf(hash))
	if err != nil {
		return nil, err
	}
	var found []any
	for _, candidate := range candidates {
		if p, ok := candidate.(packed); ok {
			if of, known := p.marks().of(number); known && !of.has(hash) {
				continue
			}
		}
		object := unpack(candidate)
		has, err := values(object)
		if err != nil {
			return nil, err
		}
		if slices.Contains(has, value) {
			found = append(found, object)
		}
	}
	return found, nil
}

// Index is Indexer's.
func (s *unpackingStore) Index(index string, object any) ([]any, error) {
	values, _, err := s.indexes.of(index)
	if err != nil {
		return nil, err
	}
	wanted, err := values(unpack(object))
	if err != nil {
		return nil, err
	}
	found := map[string]any{}
	for _, value := range wanted {
		same, err := s.ByIndex(index, value)
		if err != nil {
			return nil, err
		}
		for _, one := range same {
			key, err := toolscache.MetaNamespaceKeyFunc(one)
			if err != nil {
				return nil, err
			}
			found[key] = one
		}
	}
	all := make([]any, 0, len(found))
	for _, one := range found {
		all = append(all, one)
	}
	return all, nil
}

// IndexKeys is Indexer's.
func (s *unpackingStore) IndexKeys(index, value string) ([]string, error) {
	found, err := s.ByIndex(index, value)
	if err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(found))
	for _, one := range found {
		key, err := toolscache.MetaNamespaceKeyFunc(one)
		if err != nil {
			return nil, fmt.Errorf("naming what index %s has: %w", index, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// ListIndexFuncValues is Indexer's.
func (s *unpackingStore) ListIndexFuncValues(index string) []string {
	values, _, err := s.indexes.of(index)
	if err != nil {
		return nil
	}
	var all []string
	for _, one := range s.List() {
		if has, err := values(one); err == nil {
			all = append(all, has...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
