// SPDX-License-Identifier: Apache-2.0

package memapi

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Cache is a process's view of a server. It moves only when it is told to, by Follow and Relist, so it may be as old as a test
// likes, one kind older than another. Reads and registrations are safe for concurrent use; the moves are one goroutine's.
type Cache struct {
	server  *Server
	options cache.Options

	mu        sync.Mutex
	informers []*Informer
	started   bool
	changed   chan struct{} // closed, and replaced, when an informer has synced or the cache was started
	indexes   map[indexKey]client.IndexerFunc
	stopped   chan struct{} // closed when Start returns
}

type indexKey struct {
	gvk   schema.GroupVersionKind
	field string
}

var _ cache.Cache = &Cache{}

// Cache makes an empty cache.
func (s *Server) Cache(options cache.Options) *Cache {
	return &Cache{server: s, options: options, changed: make(chan struct{}), stopped: make(chan struct{}), indexes: map[indexKey]client.IndexerFunc{}}
}

// Informers are the kinds that are watched, in a stable order.
func (c *Cache) Informers() []*Informer {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Clone(c.informers)
	slices.SortFunc(all, func(a, b *Informer) int { return cmp.Compare(a.Name(), b.Name()) })
	return all
}

// Get is client.Reader's.
func (c *Cache) Get(ctx context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	i, err := c.read(ctx, object)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := i.items.get(key)
	if known == nil {
		return apierrors.NewNotFound(i.store.groupResource(), key.Name)
	}
	if partial, ok := object.(*metav1.PartialObjectMetadata); ok {
		partial.ObjectMeta = *metaOf(known).DeepCopy()
		return nil
	}
	replace(object, copyOf(known))
	return nil
}

// List is client.Reader's.
func (c *Cache) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(options)
	i, err := c.read(ctx, list)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	selector := o.FieldSelector
	o.FieldSelector = nil
	match, err := i.store.selects(&o)
	if err != nil {
		return err
	}
	values, err := c.indexed(i, selector)
	if err != nil {
		return err
	}
	p := &page{}
	for _, key := range i.items.keys {
		if object := i.items.get(key); match(object) && values(object) {
			p.objects = append(p.objects, object)
		}
	}
	return p.fill(list, o.UnsafeDisableDeepCopy == nil || !*o.UnsafeDisableDeepCopy)
}

// indexed is the predicate of a field selector, which needs an index for each of its fields.
func (c *Cache) indexed(i *Informer, selector fields.Selector) (func(client.Object) bool, error) {
	if selector == nil {
		return func(client.Object) bool { return true }, nil
	}
	requirements := selector.Requirements()
	indexes := make([]client.IndexerFunc, len(requirements))
	for n, r := range requirements {
		if indexes[n] = c.indexes[indexKey{i.store.gvk, r.Field}]; indexes[n] == nil {
			return nil, fmt.Errorf("Index with name field:%s does not exist", r.Field) //nolint:staticcheck // the real one's words
		}
	}
	return func(object client.Object) bool {
		for n, r := range requirements {
			if !slices.Contains(i.valuesLocked(r.Field, object, indexes[n]), r.Value) {
				return false
			}
		}
		return true
	}, nil
}

// read is the informer of what is read. One that is not there is started, and waited for, unless the options forbid it.
func (c *Cache) read(ctx context.Context, object runtime.Object) (*Informer, error) {
	gvk, err := apiutil.GVKForObject(object, c.server.scheme)
	if err != nil {
		return nil, fmt.Errorf("finding the kind of %T: %w", object, err)
	}
	gvk.Kind = strings.TrimSuffix(gvk.Kind, "List")
	i, known, err := c.informer(gvk, isPartial(object))
	if err != nil {
		return nil, err
	}
	if !known && c.options.ReaderFailOnMissingInformer {
		c.drop(i)
		return nil, &cache.ErrResourceNotCached{GVK: gvk}
	}
	c.mu.Lock()
	started := c.started
	c.mu.Unlock()
	if !started {
		return nil, &cache.ErrCacheNotStarted{}
	}
	if !c.wait(ctx, i.HasSynced) {
		return nil, apierrors.NewTimeoutError("failed waiting for the informer to sync", 0)
	}
	return i, nil
}

// informer is that of a kind, made if there is none.
func (c *Cache) informer(gvk schema.GroupVersionKind, partial bool) (i *Informer, known bool, err error) {
	store, err := c.server.storeOfKind(gvk)
	if err != nil {
		return nil, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range c.informers {
		if i.store == store && i.partial == partial {
			return i, true, nil
		}
	}
	i, err = newInformer(c, store, partial)
	if err != nil {
		return nil, false, err
	}
	c.informers = append(c.informers, i)
	return i, false, nil
}

func (c *Cache) drop(i *Informer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.informers = slices.DeleteFunc(c.informers, func(other *Informer) bool { return other == i })
}

// GetInformer is cache.Informers'. It never waits: who wants to, waits for WaitForCacheSync.
func (c *Cache) GetInformer(_ context.Context, object client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	gvk, err := apiutil.GVKForObject(object, c.server.scheme)
	if err != nil {
		return nil, fmt.Errorf("finding the kind of %T: %w", object, err)
	}
	i, _, err := c.informer(gvk, isPartial(object))
	return i, err
}

// GetInformerForKind is cache.Informers'.
func (c *Cache) GetInformerForKind(_ context.Context, gvk schema.GroupVersionKind, _ ...cache.InformerGetOption) (cache.Informer, error) {
	i, _, err := c.informer(gvk, false)
	return i, err
}

// RemoveInformer is cache.Informers'.
func (c *Cache) RemoveInformer(_ context.Context, object client.Object) error {
	gvk, err := apiutil.GVKForObject(object, c.server.scheme)
	if err != nil {
		return fmt.Errorf("finding the kind of %T: %w", object, err)
	}
	i, _, err := c.informer(gvk, isPartial(object))
	if err == nil {
		c.drop(i)
	}
	return err
}

// Start is cache.Informers'.
func (c *Cache) Start(ctx context.Context) error {
	c.mu.Lock()
	c.started = true
	c.tellLocked()
	c.mu.Unlock()
	<-ctx.Done()
	close(c.stopped)
	return nil
}

// Started tells whether somebody has started the cache.
func (c *Cache) Started() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.started
}

// WaitForCacheSync is cache.Informers'.
func (c *Cache) WaitForCacheSync(ctx context.Context) bool {
	return c.wait(ctx, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.started && !slices.ContainsFunc(c.informers, func(i *Informer) bool { return !i.synced })
	})
}

// IndexField is client.FieldIndexer's.
func (c *Cache) IndexField(_ context.Context, object client.Object, field string, values client.IndexerFunc) error {
	gvk, err := apiutil.GVKForObject(object, c.server.scheme)
	if err != nil {
		return fmt.Errorf("finding the kind of %T: %w", object, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := indexKey{gvk, field}
	if c.indexes[key] != nil {
		return fmt.Errorf("indexer conflict: map[field:%s:{}]", field)
	}
	c.indexes[key] = values
	return nil
}

// wait returns true when the condition holds, false when ctx ends before.
func (c *Cache) wait(ctx context.Context, holds func() bool) bool {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if holds() {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func (c *Cache) tellLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func isPartial(object runtime.Object) bool {
	switch object.(type) {
	case *metav1.PartialObjectMetadata, *metav1.PartialObjectMetadataList:
		return true
	default:
		return false
	}
}

// transformOf is what the options do to objects of a kind before they are kept.
func (c *Cache) transformOf(k *store) (options cache.ByObject, transform toolscache.TransformFunc) {
	transform = c.options.DefaultTransform
	for object, by := range c.options.ByObject {
		if gvk, err := apiutil.GVKForObject(object, c.server.scheme); err == nil && gvk == k.gvk {
			options = by
			if by.Transform != nil {
				transform = by.Transform
			}
		}
	}
	return options, transform
}
