// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/macpool/macpool/api/v1alpha1"
)

// TestMeter: what is read is said page by page, with what there is in all.
func TestMeter(t *testing.T) {
	var said []progress
	m := &meter{kind: "MacLeases"}
	m.moved = func() { said = append(said, m.progress()) }
	pages := map[string]struct {
		items, left int64
		next        string
	}{"": {2000, 3000, "a"}, "a": {2000, 1000, "b"}, "b": {1000, 0, ""}}
	m.inner = toolscache.ToListerWatcherWithContext(&toolscache.ListWatch{ListWithContextFunc: func(_ context.Context, o metav1.ListOptions) (runtime.Object, error) {
		if o.Limit != page || o.ResourceVersion != "" {
			t.Errorf("asked for %d of version %q", o.Limit, o.ResourceVersion)
		}
		is := pages[o.Continue]
		list := &v1alpha1.MacLeaseList{Items: make([]v1alpha1.MacLease, is.items)}
		list.Continue = is.next
		if is.left > 0 {
			list.RemainingItemCount = &is.left
		}
		return list, nil
	}})
	list, err := m.ListWithContext(t.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	if n := apimeta.LenList(list); n != 5000 {
		t.Errorf("read %d, want 5000", n)
	}
	of := func(read, total int64) progress { return progress{Kind: "MacLeases", Read: read, Total: total} }
	want := []progress{of(0, 0), of(2000, 5000), of(4000, 5000), of(5000, 5000), of(5000, 5000)}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("progress (-want +got)\n%s", diff)
	}
}

// TestInWords: what keeps the cluster from being read is said with what to do.
func TestInWords(t *testing.T) {
	leases := schema.GroupResource{Group: "macpool.dev", Resource: "macleases"}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"nothing":      {nil, ""},
		"forbidden":    {apierrors.NewForbidden(leases, "", errors.New("no role")), "Ask an administrator"},
		"unauthorized": {apierrors.NewUnauthorized("token expired"), "renew the login"},
		"away":         {errors.New("connection refused"), "connection refused. It is tried again"},
		"expired":      {apierrors.NewResourceExpired("too old"), ""},
	} {
		if got := inWords(test.err); !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
