// SPDX-License-Identifier: Apache-2.0

package memapi

import (
	"sync"

	toolscache "k8s.io/client-go/tools/cache"
)

// registration is a handler of an informer. It is told one thing after another by a goroutine of its own, as the real one is: it may
// read a cache, and wait for that, while others are told.
type registration struct {
	handler toolscache.ResourceEventHandler
	kind    string
	wake    chan struct{} // capacity 1: there is something to be told
	removed chan struct{}
	synced  chan struct{}

	mu    sync.Mutex
	queue []delivery
}

// delivery is a notice on its way to a handler; or, after the last of those of the first list, that this was it.
type delivery struct {
	notice

	initial, synced bool
}

func (r *registration) add(d delivery) {
	r.mu.Lock()
	r.queue = append(r.queue, d)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run tells the handler, until the cache stops.
func (r *registration) run(stopped <-chan struct{}) {
	for {
		select {
		case <-r.wake:
		case <-r.removed:
			return
		case <-stopped:
			return
		}
		for {
			r.mu.Lock()
			if len(r.queue) == 0 {
				r.mu.Unlock()
				break
			}
			d := r.queue[0]
			r.queue = r.queue[1:]
			r.mu.Unlock()
			r.tell(d)
		}
	}
}

func (r *registration) tell(d delivery) {
	switch {
	case d.synced:
		close(r.synced)
	case d.lost != nil:
		r.handler.OnDelete(*d.lost)
	case d.old == nil:
		r.handler.OnAdd(d.new, d.initial)
	case d.new == nil:
		r.handler.OnDelete(d.old)
	default: // also of an object that was made again, if a list has missed its end
		r.handler.OnUpdate(d.old, d.new)
	}
}

// HasSynced is toolscache.ResourceEventHandlerRegistration's.
func (r *registration) HasSynced() bool { return toolscache.IsDone(r.HasSyncedChecker()) }

// HasSyncedChecker is toolscache.ResourceEventHandlerRegistration's.
func (r *registration) HasSyncedChecker() toolscache.DoneChecker { return told{r} }

// told is done when a registration has been told of the first list.
type told struct{ *registration }

func (t told) Name() string { return "handler of " + t.kind }

func (t told) Done() <-chan struct{} { return t.synced }
