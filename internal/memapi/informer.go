// SPDX-License-Identifier: Apache-2.0

package memapi

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Informer is a Cache's view of one kind.
type Informer struct {
	cache     *Cache
	store     *store
	partial   bool
	match     func(client.Object) bool
	transform toolscache.TransformFunc

	// Guarded by the cache's lock.
	items *table
	// indexed is what the indexers say of items: field -> key.
	indexed  map[string]map[types.NamespacedName]indexed
	handlers []*registration
	synced   bool
	done     chan struct{}
	// next is the place in the server's log from which on it has seen nothing, resets how often the server had gone back when it
	// listed last.
	next, resets int
}

// indexed are the values of an object's field.
type indexed struct {
	object client.Object
	values []string
}

var _ cache.Informer = &Informer{}

func newInformer(c *Cache, k *store, partial bool) (*Informer, error) {
	options, transform := c.transformOf(k)
	match, err := k.selects(&client.ListOptions{LabelSelector: options.Label, FieldSelector: options.Field})
	if err != nil {
		return nil, err
	}
	return &Informer{
		cache: c, store: k, partial: partial, match: match, transform: transform,
		items: newTable(), indexed: map[string]map[types.NamespacedName]indexed{}, done: make(chan struct{}),
	}, nil
}

// Name is the kind.
func (i *Informer) Name() string {
	if i.partial {
		return i.store.gvk.Kind + " (metadata)"
	}
	return i.store.gvk.Kind
}

// Served tells whether a list of the kind would be answered.
func (i *Informer) Served() bool {
	s := i.cache.server
	s.mu.Lock()
	defer s.mu.Unlock()
	return !i.store.gone
}

// notice is what handlers are told.
type notice struct {
	old, new client.Object
	lost     *toolscache.DeletedFinalStateUnknown
}

// Behind is how many changes of its kind the view has not seen; -1 if it must list, before it can see any.
func (i *Informer) Behind() int {
	s := i.cache.server
	s.mu.Lock()
	defer s.mu.Unlock()
	i.cache.mu.Lock()
	defer i.cache.mu.Unlock()
	if !i.synced || i.resets != s.resets {
		return -1
	}
	if i.store.changed <= i.next {
		return 0
	}
	behind := 0
	for _, e := range s.log[i.next:] {
		if e.GVK == i.store.gvk {
			behind++
		}
	}
	return behind
}

// Follow shows the view up to so many more changes of its kind, and returns how many there were. After a reset there are none until
// it has listed.
func (i *Informer) Follow(changes int) int {
	s := i.cache.server
	s.mu.Lock()
	defer s.mu.Unlock()
	i.cache.mu.Lock()
	defer i.cache.mu.Unlock()
	if i.store.changed <= i.next {
		return 0
	}
	seen := 0
	for ; i.synced && i.resets == s.resets && seen < changes && i.next < len(s.log); i.next++ {
		if e := s.log[i.next]; e.GVK == i.store.gvk {
			i.tellLocked(i.setLocked(e.Key, e.New, nil), false)
			seen++
		}
	}
	return seen
}

// Relist has the view see the server as it is now, without what was between. Handlers hear of an object that went meanwhile as one
// whose last state is unknown.
func (i *Informer) Relist() {
	s := i.cache.server
	s.mu.Lock()
	i.cache.mu.Lock()
	first := !i.synced
	var told []notice
	var lost []toolscache.DeletedFinalStateUnknown
	if !i.store.gone {
		listed := map[types.NamespacedName]bool{}
		for _, key := range i.store.keys {
			if object := i.store.get(key); i.match(object) {
				listed[key] = true
				told = i.setLocked(key, object, told)
			}
		}
		for _, key := range slices.Clone(i.items.keys) {
			if !listed[key] {
				lost = append(lost, toolscache.DeletedFinalStateUnknown{Key: key.String(), Obj: i.items.get(key)})
				i.removeLocked(key)
			}
		}
		i.next, i.resets = len(s.log), s.resets
		if first {
			i.synced = true
			close(i.done)
			i.cache.tellLocked()
		}
	}
	for _, unknown := range lost {
		told = append(told, notice{lost: &unknown})
	}
	i.tellLocked(told, first)
	if first && i.synced {
		for _, r := range i.handlers {
			r.add(delivery{synced: true})
		}
	}
	i.cache.mu.Unlock()
	s.mu.Unlock()
}

// setLocked makes an object what the view has under a key, if it is one that it watches, and adds what handlers are to be told.
func (i *Informer) setLocked(key types.NamespacedName, object client.Object, told []notice) []notice {
	old := i.items.get(key)
	if object == nil || !i.match(object) {
		if old != nil {
			i.removeLocked(key)
			told = append(told, notice{old: old})
		}
		return told
	}
	if old != nil && old.GetResourceVersion() == object.GetResourceVersion() && old.GetUID() == object.GetUID() {
		return told
	}
	seen := i.kept(object)
	i.items.set(key, seen)
	return append(told, notice{old: old, new: seen})
}

func (i *Informer) removeLocked(key types.NamespacedName) {
	i.items.set(key, nil)
	for _, known := range i.indexed {
		delete(known, key)
	}
}

// valuesLocked are the values of a field of an object that the view has, which are found once for each.
func (i *Informer) valuesLocked(field string, object client.Object, find client.IndexerFunc) []string {
	if i.indexed[field] == nil {
		i.indexed[field] = map[types.NamespacedName]indexed{}
	}
	key := client.ObjectKeyFromObject(object)
	known, ok := i.indexed[field][key]
	if !ok || known.object != object {
		known = indexed{object, find(object)}
		i.indexed[field][key] = known
	}
	return known.values
}

// kept is what the view keeps of an object.
func (i *Informer) kept(object client.Object) client.Object {
	object = copyOf(object)
	if i.partial {
		partial := &metav1.PartialObjectMetadata{ObjectMeta: *metaOf(object)}
		partial.SetGroupVersionKind(i.store.gvk)
		object = partial
	}
	if i.transform == nil {
		return object
	}
	transformed, err := i.transform(object)
	if err != nil {
		panic(fmt.Sprintf("transforming a %s: %v", i.Name(), err))
	}
	slim, ok := transformed.(client.Object)
	if !ok {
		panic(fmt.Sprintf("transforming a %s made a %T", i.Name(), transformed))
	}
	return slim
}

func (i *Informer) tellLocked(told []notice, initial bool) {
	for _, n := range told {
		for _, r := range i.handlers {
			r.add(delivery{notice: n, initial: initial})
		}
	}
}

// AddEventHandlerWithResyncPeriod is cache.Informer's. There is no resync.
func (i *Informer) AddEventHandlerWithResyncPeriod(
	h toolscache.ResourceEventHandler, _ time.Duration,
) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandler(h)
}

// AddEventHandlerWithOptions is cache.Informer's.
func (i *Informer) AddEventHandlerWithOptions(
	h toolscache.ResourceEventHandler, _ toolscache.HandlerOptions,
) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandler(h)
}

// RemoveEventHandler is cache.Informer's.
func (i *Informer) RemoveEventHandler(handle toolscache.ResourceEventHandlerRegistration) error {
	i.cache.mu.Lock()
	defer i.cache.mu.Unlock()
	i.handlers = slices.DeleteFunc(i.handlers, func(r *registration) bool {
		if toolscache.ResourceEventHandlerRegistration(r) != handle {
			return false
		}
		close(r.removed)
		return true
	})
	return nil
}

// AddEventHandler is cache.Informer's.
func (i *Informer) AddEventHandler(h toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	i.cache.mu.Lock()
	defer i.cache.mu.Unlock()
	r := &registration{handler: h, wake: make(chan struct{}, 1), removed: make(chan struct{}), synced: make(chan struct{}), kind: i.Name()}
	i.handlers = append(i.handlers, r)
	for _, key := range i.items.keys {
		r.add(delivery{notice: notice{new: i.items.get(key)}, initial: true})
	}
	if i.synced {
		r.add(delivery{synced: true})
	}
	go r.run(i.cache.stopped)
	return r, nil
}

// AddIndexers is cache.Informer's. Indexes are the cache's: see Cache.IndexField.
func (i *Informer) AddIndexers(toolscache.Indexers) error { return errUnsupported }

// HasSynced is cache.Informer's.
func (i *Informer) HasSynced() bool {
	i.cache.mu.Lock()
	defer i.cache.mu.Unlock()
	return i.synced
}

// HasSyncedChecker is cache.Informer's.
func (i *Informer) HasSyncedChecker() toolscache.DoneChecker { return syncedChecker{i} }

// IsStopped is cache.Informer's.
func (i *Informer) IsStopped() bool { return false }

type syncedChecker struct{ *Informer }

func (c syncedChecker) Done() <-chan struct{} { return c.done }

// replace makes into what from is, of the same type.
func replace(into, from client.Object) {
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(from).Elem())
}
