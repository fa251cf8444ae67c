// SPDX-License-Identifier: Apache-2.0

package memapi

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Snapshot is a moment to which a server can be put back.
type Snapshot struct{ at int }

// Snapshot is the present moment.
func (s *Server) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Snapshot{len(s.log)}
}

// Restore puts the state back to what it was then, as etcdctl snapshot restore does. Resource versions go on from where they were
// then, so that they are given a second time, or, with bump, from far beyond the present ones. Every cache has to list again.
func (s *Server) Restore(to Snapshot, bump bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reset := Event{before: map[schema.GroupVersionKind]*table{}}
	for gvk, k := range s.stores {
		reset.before[gvk] = k.clone()
	}
	revision := uint64(1)
	for _, e := range slices.Backward(s.log[to.at:]) {
		s.undo(e)
	}
	if to.at > 0 {
		revision = s.log[to.at-1].Revision
	}
	if bump {
		revision = s.revision + 1_000_000
	}
	s.revision, reset.Revision = revision, revision
	s.resets++
	s.log = append(s.log, reset)
}

// undo makes the state what it was before e.
func (s *Server) undo(e Event) {
	if e.before != nil {
		for gvk, objects := range e.before {
			s.stores[gvk].table = objects.clone()
		}
		return
	}
	s.stores[e.GVK].set(e.Key, e.Old)
}

// Withdraw stops serving a kind and deletes its objects, as the deletion of its definition does; no policy is asked. Serve
// brings the kind back, empty.
func (s *Server) Withdraw(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.stores {
		if k.gvk.Kind != kind {
			continue
		}
		for _, key := range slices.Clone(k.keys) {
			s.commit(k, key, nil, "crd-finalizer")
		}
		k.gone = true
	}
}

// Serve serves a kind again.
func (s *Server) Serve(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.stores {
		if k.gvk.Kind == kind {
			k.gone = false
			s.served++
		}
	}
}

// Version grows whenever there is something new to see.
func (s *Server) Version() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.log) + s.served
}

// Objects are those of a kind, as they are now, for oracles; they must not be changed.
func (s *Server) Objects(kind string) []client.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.stores {
		if k.gvk.Kind != kind {
			continue
		}
		all := make([]client.Object, 0, len(k.objects))
		for _, key := range k.keys {
			all = append(all, k.get(key))
		}
		return all
	}
	return nil
}

// Object is the object of a kind under a key as it is now, nil if there is none, for oracles; it must not be changed.
func (s *Server) Object(kind string, key types.NamespacedName) client.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.stores {
		if k.gvk.Kind == kind && k.get(key) != nil {
			return k.get(key)
		}
	}
	return nil
}
