// SPDX-License-Identifier: Apache-2.0

package memapi

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Client is a process's way to the server, every call live. Safe for concurrent use; make one with Server.Client.
type Client struct {
	server    *Server
	name      string
	transport Transport
}

var _ client.Client = &Client{}

var errUnsupported = errors.New("memapi does not support this")

// Client makes a client, whose calls go by transport; straight to the server if that is nil.
func (s *Server) Client(name string, transport Transport) *Client {
	if transport == nil {
		transport = func(ctx context.Context, call *Call) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return call.Do()
		}
	}
	return &Client{server: s, name: name, transport: transport}
}

func (c *Client) call(verb Verb, object runtime.Object, key types.NamespacedName) (*Call, error) {
	gvk, err := apiutil.GVKForObject(object, c.server.scheme)
	if err != nil {
		return nil, fmt.Errorf("finding the kind of %T: %w", object, err)
	}
	gvk.Kind = strings.TrimSuffix(gvk.Kind, "List")
	store, err := c.server.storeOfKind(gvk)
	if err != nil {
		return nil, err
	}
	if store.Cluster {
		key.Namespace = ""
	}
	return &Call{
		By: c.name, Verb: verb, Kind: gvk.Kind, Key: key, server: c.server,
		req: &request{store: store, key: key, by: c.name},
	}, nil
}

// send has the call carried, and its result read into object.
func (c *Client) send(ctx context.Context, call *Call, object client.Object) error {
	if err := c.transport(ctx, call); err != nil {
		return err
	}
	if !call.done || object == nil {
		return nil
	}
	read(call.object, object)
	return nil
}

// Get is client.Client's.
func (c *Client) Get(ctx context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	call, err := c.call(Get, object, key)
	if err != nil {
		return err
	}
	return c.send(ctx, call, object)
}

// List is client.Client's.
func (c *Client) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	call, err := c.call(List, list, types.NamespacedName{})
	if err != nil {
		return err
	}
	call.req.list = &client.ListOptions{}
	call.req.list.ApplyOptions(options)
	if err := c.transport(ctx, call); err != nil {
		return err
	}
	if call.page == nil {
		return nil
	}
	return call.page.fill(list, true)
}

// fill puts the objects into list, as copies or as they are.
func (p *page) fill(list client.ObjectList, copied bool) error {
	list.SetResourceVersion(p.revision)
	list.SetContinue(p.next)
	if partial, ok := list.(*metav1.PartialObjectMetadataList); ok {
		partial.Items = make([]metav1.PartialObjectMetadata, len(p.objects))
		for i, object := range p.objects {
			partial.Items[i].ObjectMeta = *metaOf(object).DeepCopy()
		}
		return nil
	}
	objects := make([]runtime.Object, len(p.objects))
	for i, object := range p.objects {
		objects[i] = object
		if copied {
			objects[i] = object.DeepCopyObject()
		}
	}
	return apimeta.SetList(list, objects)
}

// Create is client.Client's.
func (c *Client) Create(ctx context.Context, object client.Object, _ ...client.CreateOption) error {
	return c.write(ctx, Create, "", object)
}

// Update is client.Client's.
func (c *Client) Update(ctx context.Context, object client.Object, _ ...client.UpdateOption) error {
	return c.write(ctx, Update, "", object)
}

func (c *Client) write(ctx context.Context, verb Verb, subresource string, object client.Object) error {
	call, err := c.call(verb, object, client.ObjectKeyFromObject(object))
	if err != nil {
		return err
	}
	call.Subresource, call.req.subresource = subresource, subresource
	call.req.object = copyOf(object)
	return c.send(ctx, call, object)
}

// Patch is client.Client's. It takes JSON merge patches.
func (c *Client) Patch(ctx context.Context, object client.Object, patch client.Patch, _ ...client.PatchOption) error {
	return c.patch(ctx, "", object, patch)
}

func (c *Client) patch(ctx context.Context, subresource string, object client.Object, patch client.Patch) error {
	if patch.Type() != types.MergePatchType {
		return fmt.Errorf("a patch of type %s: %w", patch.Type(), errUnsupported)
	}
	call, err := c.call(Patch, object, client.ObjectKeyFromObject(object))
	if err != nil {
		return err
	}
	call.Subresource, call.req.subresource = subresource, subresource
	if call.req.patch, err = patch.Data(object); err != nil {
		return err
	}
	return c.send(ctx, call, object)
}

// Delete is client.Client's.
func (c *Client) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	call, err := c.call(Delete, object, client.ObjectKeyFromObject(object))
	if err != nil {
		return err
	}
	var o client.DeleteOptions
	o.ApplyOptions(options)
	call.req.preconditions, call.req.grace = o.Preconditions, o.GracePeriodSeconds
	return c.send(ctx, call, nil)
}

// DeleteAllOf is client.Client's; nobody here has a right to it.
func (c *Client) DeleteAllOf(context.Context, client.Object, ...client.DeleteAllOfOption) error {
	return fmt.Errorf("deletecollection: %w", errUnsupported)
}

// Apply is client.Client's.
func (c *Client) Apply(context.Context, runtime.ApplyConfiguration, ...client.ApplyOption) error {
	return fmt.Errorf("apply: %w", errUnsupported)
}

// Status is client.Client's.
func (c *Client) Status() client.SubResourceWriter { return c.SubResource("status") }

// SubResource is client.Client's. There is the status alone.
func (c *Client) SubResource(name string) client.SubResourceClient { return &subresource{c, name} }

// Scheme is client.Client's.
func (c *Client) Scheme() *runtime.Scheme { return c.server.scheme }

// RESTMapper is client.Client's.
func (c *Client) RESTMapper() apimeta.RESTMapper { return c.server.mapper() }

// GroupVersionKindFor is client.Client's.
func (c *Client) GroupVersionKindFor(object runtime.Object) (schema.GroupVersionKind, error) {
	return apiutil.GVKForObject(object, c.server.scheme)
}

// IsObjectNamespaced is client.Client's.
func (c *Client) IsObjectNamespaced(object runtime.Object) (bool, error) {
	store, err := c.server.storeOf(object)
	return err == nil && !store.Cluster, err
}

func (s *Server) mapper() apimeta.RESTMapper {
	m := apimeta.NewDefaultRESTMapper(nil)
	for gvk, k := range s.stores {
		scope := apimeta.RESTScopeNamespace
		if k.Cluster {
			scope = apimeta.RESTScopeRoot
		}
		m.AddSpecific(gvk, gvk.GroupVersion().WithResource(k.Resource), gvk.GroupVersion().WithResource(strings.ToLower(gvk.Kind)), scope)
	}
	return m
}

type subresource struct {
	client *Client
	name   string
}

func (r *subresource) Get(context.Context, client.Object, client.Object, ...client.SubResourceGetOption) error {
	return fmt.Errorf("get of a subresource: %w", errUnsupported)
}

func (r *subresource) Create(context.Context, client.Object, client.Object, ...client.SubResourceCreateOption) error {
	return fmt.Errorf("create of a subresource: %w", errUnsupported)
}

func (r *subresource) Update(ctx context.Context, object client.Object, _ ...client.SubResourceUpdateOption) error {
	return r.client.write(ctx, Update, r.name, object)
}

func (r *subresource) Patch(ctx context.Context, object client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
	return r.client.patch(ctx, r.name, object, patch)
}

func (r *subresource) Apply(context.Context, runtime.ApplyConfiguration, ...client.SubResourceApplyOption) error {
	return fmt.Errorf("apply of a subresource: %w", errUnsupported)
}

// read makes a caller's object what the answer says.
func read(answer, into client.Object) {
	if partial, ok := into.(*metav1.PartialObjectMetadata); ok {
		partial.ObjectMeta = *metaOf(answer).DeepCopy()
		return
	}
	replace(into, copyOf(answer))
}

func decodeNew(k *store, text []byte) (client.Object, error) {
	object := copyOf(k.Object)
	err := utiljson.Unmarshal(text, object)
	return object, err
}

// metaOf is the metadata of an object; all kinds have it as a field.
func metaOf(object client.Object) *metav1.ObjectMeta {
	if accessor, ok := object.(metav1.ObjectMetaAccessor); ok {
		if m, ok := accessor.GetObjectMeta().(*metav1.ObjectMeta); ok {
			return m
		}
	}
	return &metav1.ObjectMeta{}
}
