// SPDX-License-Identifier: Apache-2.0

package memapi_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/memapi"
)

// viewer is a cache of the claims of a node, and what its handler was told.
type viewer struct {
	*memapi.Cache
	*memapi.Informer

	told []string
}

func newViewer(t *testing.T, s *memapi.Server) *viewer {
	t.Helper()
	v := &viewer{Cache: s.Cache(cache.Options{
		ReaderFailOnMissingInformer: true,
		ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.MacClaim{}: {Field: fields.OneTermEqualSelector("status.holder.nodeName", "node-a")},
		},
	})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Start(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	informer, err := v.GetInformer(t.Context(), &v1alpha1.MacClaim{})
	if err != nil {
		t.Fatal(err)
	}
	v.Informer, _ = informer.(*memapi.Informer)
	text := func(object any) string {
		switch o := object.(type) {
		case toolscache.DeletedFinalStateUnknown:
			return "unknown " + o.Key
		case *v1alpha1.MacClaim:
			return fmt.Sprintf("%s of generation %d", o.Name, o.Status.Generation)
		default:
			return fmt.Sprintf("%T", object)
		}
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { v.told = append(v.told, "added "+text(object)) },
		UpdateFunc: func(old, object any) { v.told = append(v.told, "updated "+text(old)+" to "+text(object)) },
		DeleteFunc: func(object any) { v.told = append(v.told, "deleted "+text(object)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	v.Relist()
	if !v.WaitForCacheSync(t.Context()) {
		t.Fatal("it was not started")
	}
	return v
}

// expect wants the handler to have been told this since, and the view to have these claims.
func (v *viewer) expect(t *testing.T, what string, told []string, has ...string) {
	t.Helper()
	synctest.Wait() // until its handler was told
	if diff := cmp.Diff(told, v.told); diff != "" {
		t.Errorf("%s: told: %s", what, diff)
	}
	v.told = nil
	var list v1alpha1.MacClaimList
	if err := v.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range list.Items {
		names = append(names, fmt.Sprintf("%s-%d", c.Name, c.Status.Generation))
	}
	if !slices.Equal(names, has) {
		t.Errorf("%s: the view has %v, want %v", what, names, has)
	}
}

// A cache sees what it is shown and nothing else, in order, or, when it lists, the present without the past.
func TestCache(t *testing.T) { synctest.Test(t, testCache) }

func testCache(t *testing.T) {
	ctx := t.Context()
	s := bareServer(t)
	c := s.Client("test", nil)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}}))
	x := newTranscript(t, c, "ns")
	v := newViewer(t, s)
	a, b := x.claim("a"), x.claim("b")
	hold := func(claim *v1alpha1.MacClaim, node string) {
		t.Helper()
		claim.Status.Generation++
		claim.Status.Holder = held(claim.Name, claim.Status.Generation)
		claim.Status.Holder.NodeName = node
		must(c.Status().Update(ctx, claim))
	}
	must(c.Create(ctx, a))
	must(c.Create(ctx, b))
	hold(a, "node-a")
	hold(b, "node-b")
	hold(a, "node-a")
	v.expect(t, "before it is shown anything", nil)
	if got := v.Behind(); got != 5 {
		t.Errorf("it is %d changes behind, want 5", got)
	}
	v.Follow(3)
	v.expect(t, "what its selector leaves out is not there", []string{"added a of generation 1"}, "a-1")
	v.Follow(100)
	v.expect(t, "the rest", []string{"updated a of generation 1 to a of generation 2"}, "a-2")
	hold(b, "node-a")
	hold(a, "node-b")
	v.Follow(100)
	v.expect(t, "into the selector and out of it", []string{"added b of generation 2", "deleted a of generation 2"}, "b-2")

	before := s.Snapshot()
	hold(b, "node-a")
	v.Follow(1)
	v.expect(t, "a change", []string{"updated b of generation 2 to b of generation 3"}, "b-3")
	b.Status.Holder = nil
	must(c.Status().Update(ctx, b))
	must(c.Delete(ctx, b))
	must(c.Create(ctx, x.claim("b")))
	v.Relist()
	v.expect(t, "a list that missed an end", []string{"deleted unknown ns/b"})

	s.Restore(before, true)
	if v.Follow(100); v.Behind() != -1 {
		t.Error("a watch went on through a reset")
	}
	v.expect(t, "a watch ends at a reset", nil)
	v.Relist()
	v.expect(t, "listed after it", []string{"added b of generation 2"}, "b-2")
	if err := v.Get(ctx, client.ObjectKey{Name: "n"}, &corev1.Node{}); err == nil || apierrors.IsNotFound(err) {
		t.Errorf("a kind that is not watched: %v", err)
	}
}

// A server that is put back has the objects, and without bump the resourceVersions, that it had then; never the UIDs (R-B1).
func TestRestore(t *testing.T) {
	for _, bump := range []bool{false, true} {
		ctx := t.Context()
		s := bareServer(t)
		c := s.Client("test", nil)
		x := newTranscript(t, c, "ns")
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		kept, gone, made := x.lease("192.168.50.8"), x.lease("192.168.50.9"), x.lease("192.168.50.10")
		must(c.Create(ctx, kept))
		must(c.Create(ctx, gone))
		then := s.Snapshot()
		changed := copied(kept)
		changed.Spec.NodeName = "node-a"
		must(c.Update(ctx, changed))
		must(c.Delete(ctx, gone))
		must(c.Create(ctx, made))
		middle := s.Snapshot()
		s.Restore(then, bump)
		for _, want := range []*v1alpha1.MacLease{kept, gone} {
			got := &v1alpha1.MacLease{}
			must(c.Get(ctx, client.ObjectKeyFromObject(want), got))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("bump %t: %s", bump, diff)
			}
		}
		again := x.lease("192.168.50.10")
		must(c.Create(ctx, again))
		if again.UID == made.UID {
			t.Errorf("bump %t: the UID %s was given twice", bump, again.UID)
		}
		if reused := len(again.ResourceVersion) <= len(made.ResourceVersion); reused == bump {
			t.Errorf("bump %t: resourceVersion %s after %s", bump, again.ResourceVersion, made.ResourceVersion)
		}
		s.Restore(middle, bump)
		if err := c.Get(ctx, client.ObjectKeyFromObject(gone), &v1alpha1.MacLease{}); !apierrors.IsNotFound(err) {
			t.Errorf("bump %t: forward through a restore: %v", bump, err)
		}
		if got := s.Objects("MacLease"); len(got) != 2 || got[0].GetUID() != made.UID {
			t.Errorf("bump %t: forward through a restore: %v", bump, got)
		}
	}
}
