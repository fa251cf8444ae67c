// SPDX-License-Identifier: Apache-2.0

package memapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Server is the state of an API server. Safe for concurrent use; make one with NewServer.
type Server struct {
	clock  clock.PassiveClock
	scheme *runtime.Scheme

	mu       sync.Mutex
	stores   map[schema.GroupVersionKind]*store
	revision uint64
	uids     uint64
	log      []Event
	// resets counts the times that the state went back. Whoever watches has to list again after each.
	resets int
	// served counts the kinds that were served again.
	served   int
	policies []Policy
	watchers []func(Event)
}

// Event is one change of one object. Old is nil for one that was made, New for one that is gone.
type Event struct {
	Revision uint64
	GVK      schema.GroupVersionKind
	Key      types.NamespacedName
	Old, New client.Object
	// By is the client that made the change.
	By string

	// before is, in the event of a reset alone, the state that it ended.
	before map[schema.GroupVersionKind]*table
}

// Attempt is a change that a Policy judges.
type Attempt struct {
	Verb        Verb
	Subresource string
	GVK         schema.GroupVersionKind
	Key         types.NamespacedName
	// Old is nil for a creation, New for a deletion.
	Old, New client.Object
	By       string
}

// Policy refuses changes, as a ValidatingAdmissionPolicy does.
type Policy func(Attempt) error

// NewServer makes a server of some kinds, without objects.
func NewServer(clk clock.PassiveClock, scheme *runtime.Scheme, kinds []Kind) (*Server, error) {
	s := &Server{clock: clk, scheme: scheme, stores: map[schema.GroupVersionKind]*store{}, revision: 1}
	for _, k := range kinds {
		gvk, err := apiutil.GVKForObject(k.Object, scheme)
		if err != nil {
			return nil, fmt.Errorf("finding the kind of %T: %w", k.Object, err)
		}
		s.stores[gvk] = &store{Kind: k, gvk: gvk, table: newTable()}
	}
	return s, nil
}

// Enforce adds a policy.
func (s *Server) Enforce(p Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies = append(s.policies, p)
}

// Watch has f called with each change, in order, while the server is locked: f must not call it.
func (s *Server) Watch(f func(Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers = append(s.watchers, f)
}

// storeOf is the store of an object's kind.
func (s *Server) storeOf(object runtime.Object) (*store, error) {
	gvk, err := apiutil.GVKForObject(object, s.scheme)
	if err != nil {
		return nil, fmt.Errorf("finding the kind of %T: %w", object, err)
	}
	return s.storeOfKind(gvk)
}

func (s *Server) storeOfKind(gvk schema.GroupVersionKind) (*store, error) {
	if k := s.stores[gvk]; k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("memapi has no %s", gvk)
}

// served is an error while the kind's definition is deleted: the real server knows no such path then.
func (k *store) served(verb Verb, name string) error {
	if !k.gone {
		return nil
	}
	return apierrors.NewGenericServerResponse(http.StatusNotFound, string(verb), k.groupResource(), name, "404 page not found", 0, true)
}

func (s *Server) judge(a Attempt) error {
	for _, p := range s.policies {
		if err := p(a); err != nil {
			return err
		}
	}
	return nil
}

// commit makes next the object under its key, nil for none, as a new revision.
func (s *Server) commit(k *store, key types.NamespacedName, next client.Object, by string) client.Object {
	old := k.get(key)
	s.revision++
	if next != nil {
		next.SetResourceVersion(strconv.FormatUint(s.revision, 10))
	}
	k.set(key, next)
	s.note(Event{Revision: s.revision, GVK: k.gvk, Key: key, Old: old, New: next, By: by})
	k.changed = len(s.log)
	return next
}

func (s *Server) note(e Event) {
	s.log = append(s.log, e)
	for _, f := range s.watchers {
		f(e)
	}
}

// newUID is a UID that was not given before, also not in a time that was forgotten.
func (s *Server) newUID() types.UID {
	s.uids++
	return types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012x", s.uids))
}

// stored is an object as it comes back from a store: through JSON, which rounds times and drops what is empty.
func stored(object client.Object) (client.Object, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", object, err)
	}
	fresh, ok := reflect.New(reflect.TypeOf(object).Elem()).Interface().(client.Object)
	if !ok {
		return nil, fmt.Errorf("%T is no object", object)
	}
	if err := utiljson.Unmarshal(text, fresh); err != nil {
		return nil, fmt.Errorf("decoding %T: %w", object, err)
	}
	fresh.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return fresh, nil
}

func copyOf[T runtime.Object](object T) T {
	c, ok := object.DeepCopyObject().(T)
	if !ok {
		panic(fmt.Sprintf("the copy of a %T is none", object))
	}
	return c
}
