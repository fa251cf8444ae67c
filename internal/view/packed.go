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
// follow. It is immutable. The first octet is the number of its codec, then come its marks, and their length before them.
type packed string

// GetObjectMeta is metav1.ObjectMetaAccessor's, by which stores find names and versions. It has nothing else.
func (p packed) GetObjectMeta() metav1.Object {
	meta := &metav1.ObjectMeta{}
	codecs[p[0]].names(p, meta)
	return meta
}

// marks are the hashes by which the object is indexed.
func (p packed) marks() marks {
	r := reader{octets: string(p), at: 1}
	length := int(r.number()) //nolint:gosec // G115: a length
	return marks(p[r.at : r.at+length])
}

// fields reads what comes after the marks.
func (p packed) fields() reader {
	r := reader{octets: string(p), at: 1}
	length := int(r.number()) //nolint:gosec // G115: a length
	r.at += length
	return r
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

// pack is the object packed, with its marks; the object itself if it is none of those that are packed, or has something that cannot be.
func pack(in any, m marks) any {
	c, number := codecOf(in)
	if c == nil {
		return in
	}
	w := writer{octets: append(make([]byte, 0, 512), number)}
	w.number(uint64(len(m)))
	w.octets = append(w.octets, m...)
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
	r := p.fields()
	c.form.get(&r, out.Elem())
	if object, ok := out.Interface().(metav1.Object); ok {
		object.SetNamespace(unique.Make(object.GetNamespace()).Value())
		object.SetName(strings.Clone(object.GetName()))
	}
	return out.Interface()
}

// lastName is the last field of metadata that a store asks for. Labels and the like, which cost most, come after it.
var lastName = func() int {
	field, ok := reflect.TypeFor[metav1.ObjectMeta]().FieldByName("ResourceVersion")
	if !ok {
		panic("metadata has no version") // it would not compile
	}
	return field.Index[0]
}()

// names reads of an object's metadata what stores ask for. Metadata is the first that is packed, since the type, which is known, is not.
func (c *codec) names(p packed, into *metav1.ObjectMeta) {
	r := p.fields()
	field := r.number()
	if field == 0 || c.form.fields[field-1].index != c.meta {
		return
	}
	meta, to := c.form.fields[field-1].form, reflect.ValueOf(into).Elem()
	for i := r.number(); i != 0 && meta.fields[i-1].index <= lastName; i = r.number() {
		meta.fields[i-1].get(&r, to.Field(meta.fields[i-1].index))
	}
}
