// SPDX-License-Identifier: Apache-2.0

package view

import (
	"fmt"
	"reflect"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/macpool/macpool/api/v1alpha1"
)

// packed is an object as a cache stores it: its fields that are not zero, one after another. A claim in Go's own form takes a kilobyte in a
// dozen allocations, nearly all of it zeros, pointers and rounding; packed it takes a third, in one, in which the garbage collector has nothing to
// follow. It is immutable. The first octet is the number of its codec.
type packed string

// GetObjectMeta is metav1.ObjectMetaAccessor's, by which stores find names and versions.
func (p packed) GetObjectMeta() metav1.Object {
	meta := &metav1.ObjectMeta{}
	codecs[p[0]].metadata(p, meta)
	return meta
}

// codecs are those of the kinds of which a large cluster has many.
var codecs = []*codec{newCodec(&v1alpha1.MacClaim{}), newCodec(&v1alpha1.MacLease{}), newCodec(&corev1.Pod{})}

// codec packs the objects of one kind.
type codec struct {
	kind reflect.Type // the struct
	form *form
	meta int // the number of the field ObjectMeta
}

func newCodec(example runtime.Object) *codec {
	kind := reflect.TypeOf(example).Elem()
	meta, ok := kind.FieldByName("ObjectMeta")
	if !ok {
		panic(fmt.Sprintf("%s has no metadata", kind)) // a test would have found it
	}
	return &codec{kind: kind, form: formOf(kind, map[reflect.Type]*form{}), meta: meta.Index[0]}
}

// codecOf is the codec for objects of a kind and its number; nil if they are not packed.
func codecOf(example any) (*codec, byte) {
	for i, c := range codecs {
		if reflect.TypeOf(example) == reflect.PointerTo(c.kind) {
			return c, byte(i)
		}
	}
	return nil, 0
}

// pack is the object packed; the object itself if it is none of those that are packed, or has something that cannot be.
func pack(in any) any {
	c, number := codecOf(in)
	if c == nil {
		return in
	}
	w := writer{octets: append(make([]byte, 0, 512), number)}
	c.form.put(&w, reflect.ValueOf(in).Elem())
	if w.unfit {
		return in
	}
	return packed(w.octets)
}

// unpack is a new object of what pack made; anything else it returns as it is. Its strings are parts of what was packed: who keeps one keeps
// all of that. Names are copies, since those are kept by many, for long.
func unpack(in any) any {
	p, ok := in.(packed)
	if !ok {
		return in
	}
	c := codecs[p[0]]
	out := reflect.New(c.kind)
	r := reader{octets: string(p), at: 1}
	c.form.get(&r, out.Elem())
	if object, ok := out.Interface().(metav1.Object); ok {
		object.SetNamespace(unique.Make(object.GetNamespace()).Value())
		object.SetName(strings.Clone(object.GetName()))
	}
	return out.Interface()
}

// metadata reads only that of an object. It is the first that is packed, since the type, which is known, is not.
func (c *codec) metadata(p packed, into *metav1.ObjectMeta) {
	r := reader{octets: string(p), at: 1}
	if field := r.number(); field != 0 && c.form.fields[field-1].index == c.meta {
		c.form.fields[field-1].get(&r, reflect.ValueOf(into).Elem())
	}
}
