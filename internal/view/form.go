// SPDX-License-Identifier: Apache-2.0

package view

import (
	"encoding/binary"
	"reflect"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// form is how values of a type are packed. What is packed is read by the same process only, so it needs no version.
type form struct {
	put func(w *writer, v reflect.Value)
	get func(r *reader, v reflect.Value) // v is settable, and zero

	fields []field // of a struct
}

// field is a field of a struct; it is packed if it is not zero, after its number in the form, which begins at 1. 0 is the end.
type field struct {
	*form

	index int
}

// words are strings that most objects have: one octet is packed for each. What is missing here costs memory and nothing else.
var words = []string{
	v1alpha1.LabelManagedBy, v1alpha1.ManagedBy, v1alpha1.LabelSegment, v1alpha1.LabelIdentity,
	string(v1alpha1.WorkloadStatefulSet), string(v1alpha1.HandoverWait), "net1", "k8s.v1.cni.cncf.io/networks",
	v1alpha1.ClaimReady, string(metav1.ConditionTrue), v1alpha1.ClaimReasonBound, "The claim has a lease",
	"apps/v1", "Running", "Deployment", "DaemonSet", "ReplicaSet", "Job", "batch/v1", "VirtualMachineInstance", "kubevirt.io/v1",
}

var wordNumbers = func() map[string]uint64 {
	numbers := map[string]uint64{}
	for i, word := range words {
		numbers[word] = uint64(i)
	}
	return numbers
}()

var (
	typeMeta = reflect.TypeFor[metav1.TypeMeta]()
	instant  = reflect.TypeFor[metav1.Time]()
)

// formOf makes the form of a type; known are those that are being made.
func formOf(t reflect.Type, known map[reflect.Type]*form) *form {
	if f, ok := known[t]; ok {
		return f
	}
	f := &form{}
	known[t] = f
	switch {
	case t == instant:
		f.put, f.get = putTime, getTime
	case t.Kind() == reflect.String:
		f.put, f.get = putString, func(r *reader, v reflect.Value) { v.SetString(r.text()) }
	case t.Kind() == reflect.Bool:
		f.put, f.get = func(*writer, reflect.Value) {}, func(_ *reader, v reflect.Value) { v.SetBool(true) }
	case v64(t.Kind()):
		f.put = func(w *writer, v reflect.Value) { w.octets = binary.AppendVarint(w.octets, v.Int()) }
		f.get = func(r *reader, v reflect.Value) { v.SetInt(r.signed()) }
	case t.Kind() == reflect.Pointer:
		f.ofPointer(t, formOf(t.Elem(), known))
	case t.Kind() == reflect.Slice:
		f.ofSlice(t, formOf(t.Elem(), known))
	case t.Kind() == reflect.Map:
		f.ofMap(t, formOf(t.Key(), known), formOf(t.Elem(), known))
	case t.Kind() == reflect.Struct:
		f.ofStruct(t, known)
	default:
		f.put, f.get = putUnfit, nil
	}
	return f
}

func v64(k reflect.Kind) bool { return k >= reflect.Int && k <= reflect.Int64 }

// putUnfit is for types that no object has that is packed: such an object is stored as it is.
func putUnfit(w *writer, _ reflect.Value) { w.unfit = true }

func putString(w *writer, v reflect.Value) {
	s := v.String()
	if number, ok := wordNumbers[s]; ok {
		w.number(number<<1 | 1)
		return
	}
	w.number(uint64(len(s)) << 1)
	w.octets = append(w.octets, s...)
}

func putTime(w *writer, v reflect.Value) {
	t, _ := v.Interface().(metav1.Time)
	w.octets = binary.AppendVarint(w.octets, t.Unix())
	w.number(uint64(t.Nanosecond())) //nolint:gosec // G115: never negative
}

func getTime(r *reader, v reflect.Value) {
	seconds := r.signed()
	v.Set(reflect.ValueOf(metav1.NewTime(time.Unix(seconds, int64(r.number()))))) //nolint:gosec // G115: below a milliard
}

// ofPointer packs what is pointed to. A bool needs an octet here: false is not left out.
func (f *form) ofPointer(t reflect.Type, element *form) {
	if t.Elem().Kind() == reflect.Bool {
		element = bools
	}
	f.put = func(w *writer, v reflect.Value) {
		if v.IsNil() { // among others: by itself it would be left out
			w.unfit = true
			return
		}
		element.put(w, v.Elem())
	}
	f.get = func(r *reader, v reflect.Value) {
		v.Set(reflect.New(t.Elem()))
		element.get(r, v.Elem())
	}
}

// bools is the form of a bool that may be false.
var bools = &form{
	put: func(w *writer, v reflect.Value) {
		number := uint64(0)
		if v.Bool() {
			number = 1
		}
		w.number(number)
	},
	get: func(r *reader, v reflect.Value) { v.SetBool(r.number() == 1) },
}

func (f *form) ofSlice(t reflect.Type, element *form) {
	switch t.Elem().Kind() {
	case reflect.Bool:
		element = bools
	case reflect.Uint8:
		f.put = putUnfit
		return
	default:
	}
	f.put = func(w *writer, v reflect.Value) {
		w.number(uint64(v.Len())) //nolint:gosec // G115: never negative
		for i := range v.Len() {
			element.put(w, v.Index(i))
		}
	}
	f.get = func(r *reader, v reflect.Value) {
		n := int(r.number()) //nolint:gosec // G115: a length
		v.Set(reflect.MakeSlice(t, n, n))
		for i := range n {
			element.get(r, v.Index(i))
		}
	}
}

func (f *form) ofMap(t reflect.Type, key, element *form) {
	if t.Elem().Kind() == reflect.Bool {
		element = bools
	}
	f.put = func(w *writer, v reflect.Value) {
		w.number(uint64(v.Len())) //nolint:gosec // G115: never negative
		for k, e := range v.Seq2() {
			key.put(w, k)
			element.put(w, e)
		}
	}
	f.get = func(r *reader, v reflect.Value) {
		n := int(r.number()) //nolint:gosec // G115: a length
		v.Set(reflect.MakeMapWithSize(t, n))
		for range n {
			k, e := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
			key.get(r, k)
			element.get(r, e)
			v.SetMapIndex(k, e)
		}
	}
}

func (f *form) ofStruct(t reflect.Type, known map[reflect.Type]*form) {
	for i := range t.NumField() {
		if t.Field(i).Type == typeMeta {
			continue
		}
		if !t.Field(i).IsExported() {
			f.put = putUnfit
			return
		}
		f.fields = append(f.fields, field{formOf(t.Field(i).Type, known), i})
	}
	f.put = func(w *writer, v reflect.Value) {
		for i := range f.fields {
			if value := v.Field(f.fields[i].index); !value.IsZero() {
				w.number(uint64(i) + 1)
				f.fields[i].put(w, value)
			}
		}
		w.number(0)
	}
	f.get = func(r *reader, v reflect.Value) {
		for i := r.number(); i != 0; i = r.number() {
			f.fields[i-1].get(r, v.Field(f.fields[i-1].index))
		}
	}
}

// writer collects what is packed.
type writer struct {
	octets []byte
	unfit  bool
}

func (w *writer) number(n uint64) { w.octets = binary.AppendUvarint(w.octets, n) }

// reader reads it.
type reader struct {
	octets string
	at     int
}

func (r *reader) number() uint64 {
	var n uint64
	for shift := 0; ; shift += 7 {
		b := r.octets[r.at]
		r.at++
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
}

func (r *reader) signed() int64 {
	n := r.number()
	return int64(n>>1) ^ -int64(n&1)
}

// text is a part of what is packed, and no copy.
func (r *reader) text() string {
	n := r.number()
	if n&1 == 1 {
		return words[n>>1]
	}
	from := r.at
	r.at += int(n >> 1)
	return r.octets[from:r.at]
}
