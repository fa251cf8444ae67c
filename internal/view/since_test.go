// SPDX-License-Identifier: Apache-2.0

package view

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Who watches since now is told of all that happens, and of nothing that was there. It counts as told all the same.
func TestSince(t *testing.T) {
	claims, _ := claimsWithLeases(3)
	changes := watch.NewFake()
	informer := start(t, claims, changes, func(toolscache.SharedIndexInformer) {})
	events := make(chan string, 8)
	h := toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			if claim, ok := object.(*v1alpha1.MacClaim); ok {
				events <- "added " + claim.Name
			}
		},
		UpdateFunc: func(any, any) { events <- "changed" },
		DeleteFunc: func(any) { events <- "deleted" },
	}
	of, err := Since{informers{only: informer}}.GetInformer(t.Context(), &v1alpha1.MacClaim{})
	if err != nil {
		t.Fatal(err)
	}
	for what, listen := range map[string]func() (toolscache.ResourceEventHandlerRegistration, error){
		"plain": func() (toolscache.ResourceEventHandlerRegistration, error) { return of.AddEventHandler(h) },
		"with resync": func() (toolscache.ResourceEventHandlerRegistration, error) {
			return of.AddEventHandlerWithResyncPeriod(h, 0)
		},
		"with options": func() (toolscache.ResourceEventHandlerRegistration, error) {
			return of.AddEventHandlerWithOptions(h, toolscache.HandlerOptions{})
		},
	} {
		registered, err := listen()
		if err != nil {
			t.Fatal(err)
		}
		if !toolscache.WaitForCacheSync(t.Context().Done(), registered.HasSynced) {
			t.Fatal("the handler is not told")
		}
		changed := claims.Items[0].DeepCopy()
		changed.ResourceVersion = "2000"
		changes.Modify(changed)
		added := changed.DeepCopy()
		added.Name, added.UID, added.ResourceVersion = "new", "new", "2001"
		changes.Add(added)
		gone := added.DeepCopy()
		gone.ResourceVersion = "2002"
		changes.Delete(gone)
		var got []string
		for range 3 {
			select {
			case event := <-events:
				got = append(got, event)
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: only these events: %v", what, got)
			}
		}
		if diff := cmp.Diff([]string{"changed", "added new", "deleted"}, got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		if err := of.RemoveEventHandler(registered); err != nil {
			t.Fatal(err)
		}
	}
}

var _ cache.Cache = Since{}

// What was there costs a handler nothing that watches since now: it is not even unpacked.
func TestSinceUnpacksNothing(t *testing.T) {
	claims, _ := claimsWithLeases(1)
	object, err := newCoarse().pack(&claims.Items[0])
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	h := unpackingHandler{since{toolscache.ResourceEventHandlerDetailedFuncs{AddFunc: func(any, bool) { told++ }}}}
	if n := testing.AllocsPerRun(100, func() { h.OnAdd(object, true) }); n > 0 || told > 0 {
		t.Errorf("%.0f allocations, and %d objects told", n, told)
	}
	h.OnAdd(object, false)
	if told != 1 {
		t.Errorf("a new object was told %d times", told)
	}
}
