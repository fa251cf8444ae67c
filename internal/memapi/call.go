// SPDX-License-Identifier: Apache-2.0

package memapi

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Verb is what a call asks for.
type Verb string

// The verbs.
const (
	Get    Verb = "get"
	List   Verb = "list"
	Create Verb = "create"
	Update Verb = "update"
	Patch  Verb = "patch"
	Delete Verb = "delete"
)

// Writes tells whether the verb may change something.
func (v Verb) Writes() bool { return v != Get && v != List }

// Call is a request of a client on its way. It has copies of what it was made of, so it may arrive long after its caller has
// given it up.
type Call struct {
	By          string
	Verb        Verb
	Subresource string
	Kind        string
	Key         types.NamespacedName

	server *Server
	req    *request

	done   bool
	object client.Object
	page   *page
}

// Transport carries a call: it has it done, by Do, or not, and returns what its caller is to know.
type Transport func(ctx context.Context, call *Call) error

// request is what a call asks the server.
type request struct {
	store         *store
	key           types.NamespacedName
	subresource   string
	by            string
	object        client.Object
	patch         []byte
	preconditions *metav1.Preconditions
	grace         *int64
	list          *client.ListOptions
}

// Object is what is to be written, of a create or an update; nil of others. It must not be changed.
func (c *Call) Object() client.Object { return c.req.object }

// Text describes the call in a few words, the same for the same call.
func (c *Call) Text() string {
	text := fmt.Sprintf("%s %s", c.Verb, c.Kind)
	if c.Subresource != "" {
		text += "/" + c.Subresource
	}
	switch {
	case c.Verb == List && c.req.list.FieldSelector != nil:
		text += " " + c.req.list.FieldSelector.String()
	case c.Verb == List && c.req.list.LabelSelector != nil:
		text += " " + c.req.list.LabelSelector.String()
	case c.Verb == List:
		text += " " + c.req.list.Namespace
	case c.Key.Namespace != "":
		text += " " + c.Key.String()
	default:
		text += " " + c.Key.Name
	}
	return text
}

// Do has the server decide on the call, and returns what it answers.
func (c *Call) Do() error {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.req.store.served(c.Verb, c.Key.Name); err != nil {
		return err
	}
	var err error
	switch c.Verb {
	case Get:
		c.object, err = s.get(c.req)
	case List:
		c.page, err = s.list(c.req)
	case Create:
		c.object, err = s.create(c.req)
	case Update:
		c.object, err = s.update(c.req)
	case Patch:
		c.object, err = s.patch(c.req)
	case Delete:
		c.object, err = s.delete(c.req)
	}
	c.done = err == nil
	return err
}

// patch merges a JSON merge patch into the object.
func (s *Server) patch(r *request) (client.Object, error) {
	k := r.store
	old := k.get(r.key)
	if old == nil {
		return nil, apierrors.NewNotFound(k.groupResource(), r.key.Name)
	}
	text, err := json.Marshal(old)
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", old, err)
	}
	var has, change map[string]any
	if err := json.Unmarshal(text, &has); err != nil {
		return nil, fmt.Errorf("decoding %T: %w", old, err)
	}
	if err := json.Unmarshal(r.patch, &change); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if text, err = json.Marshal(mergePatch(has, change)); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", old, err)
	}
	next, err := decodeNew(k, text)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if next.GetResourceVersion() != old.GetResourceVersion() && next.GetResourceVersion() != "" {
		return nil, apierrors.NewConflict(k.groupResource(), r.key.Name, errOptimisticLock)
	}
	return s.replace(r, old, next)
}

// mergePatch is RFC 7386.
func mergePatch(into, change map[string]any) map[string]any {
	if into == nil {
		into = map[string]any{}
	}
	for name, value := range change {
		inner, isObject := value.(map[string]any)
		switch {
		case value == nil:
			delete(into, name)
		case isObject:
			has, _ := into[name].(map[string]any)
			into[name] = mergePatch(has, inner)
		default:
			into[name] = value
		}
	}
	return into
}
