// SPDX-License-Identifier: Apache-2.0

package memapi

import (
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (s *Server) get(r *request) (client.Object, error) {
	if object := r.store.get(r.key); object != nil {
		return object, nil
	}
	return nil, apierrors.NewNotFound(r.store.groupResource(), r.key.Name)
}

// page is what a list comes to.
type page struct {
	objects  []client.Object
	revision string
	next     string
}

// list is one page. The token of the next one is the key of the last object: unlike the real server's, later pages show changes
// that were made since the first.
func (s *Server) list(r *request) (*page, error) {
	k, o := r.store, r.list
	match, err := k.selects(o)
	if err != nil {
		return nil, err
	}
	p := &page{revision: strconv.FormatUint(s.revision, 10)}
	for _, key := range k.keys {
		if o.Continue != "" && key.String() <= o.Continue || !match(k.get(key)) {
			continue
		}
		if o.Limit > 0 && int64(len(p.objects)) == o.Limit {
			p.next = client.ObjectKeyFromObject(p.objects[len(p.objects)-1]).String()
			break
		}
		p.objects = append(p.objects, k.get(key))
	}
	return p, nil
}

// selects is the predicate of a list's options.
func (k *store) selects(o *client.ListOptions) (func(client.Object) bool, error) {
	if o.FieldSelector != nil {
		for _, f := range o.FieldSelector.Requirements() {
			if _, ok := k.Fields[f.Field]; !ok && f.Field != "metadata.name" && f.Field != "metadata.namespace" {
				return nil, apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", f.Field))
			}
		}
	}
	return func(object client.Object) bool {
		return (o.Namespace == "" || object.GetNamespace() == o.Namespace) &&
			(o.LabelSelector == nil || o.LabelSelector.Matches(labels.Set(object.GetLabels()))) &&
			(o.FieldSelector == nil || o.FieldSelector.Matches(k.fieldsOf(object)))
	}, nil
}

func (k *store) fieldsOf(object client.Object) fields.Set {
	set := fields.Set{"metadata.name": object.GetName(), "metadata.namespace": object.GetNamespace()}
	for name, value := range k.Fields {
		set[name] = value(object)
	}
	return set
}
