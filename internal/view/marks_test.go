// SPDX-License-Identifier: Apache-2.0

package view

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/macpool/macpool/api/v1alpha1"
)

func TestMarks(t *testing.T) {
	var m marks
	indexes := [][]string{{"home/a", "__all_namespaces/a"}, nil, {"a"}, {"home/b", "__all_namespaces/b", "home/c", "__all_namespaces/c"}, {"home/d/e"}}
	for _, values := range indexes {
		m = m.with(hashesOf(values))
	}
	for number, want := range [][]string{{"a"}, nil, {"a"}, {"b", "c"}, {"d/e"}} {
		got, known := m.of(number)
		if !known {
			t.Errorf("index %d is not known", number)
		}
		if len(got) != hashSize*len(want) {
			t.Errorf("index %d has %d octets for %v", number, len(got), want)
		}
		var stored []string
		for _, value := range want {
			stored = append(stored, bucketOf(hashOf("any/"+value)))
			if !got.has(hashOf("any/" + value)) {
				t.Errorf("index %d does not have %s", number, value)
			}
		}
		if diff := cmp.Diff(stored, got.buckets()); diff != "" {
			t.Errorf("index %d: %s", number, diff)
		}
		if got.has(hashOf("none")) {
			t.Errorf("index %d has what it has not", number)
		}
	}
	if _, known := m.of(len(indexes)); known {
		t.Error("an index is known that was added later")
	}
}

// An index that is added when the store has objects is as good as any other.
func TestIndexAddedLater(t *testing.T) {
	claims, _ := claimsWithLeases(100)
	informer := start(t, claims, watch.NewFake(), func(toolscache.SharedIndexInformer) {})
	if err := informer.GetIndexer().AddIndexers(toolscache.Indexers{"pod": byPod}); err != nil {
		t.Fatal(err)
	}
	found, err := informer.GetIndexer().ByIndex("pod", "farm/set-7")
	if err != nil || len(found) != 1 {
		t.Fatalf("%d claims are found (%v)", len(found), err)
	}
	if claim, ok := found[0].(*v1alpha1.MacClaim); !ok || claim.Status.Holder.PodName != "set-7" {
		t.Errorf("found %v", found[0])
	}
}

// What is asked for by an index costs the same in a large cluster as in a small one, though more objects are in its bucket: else the work of a
// start, which asks for each object, grows with the square.
func TestIndexedReadDoesNotGrow(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has allocations of its own")
	}
	cost := func(count int) float64 {
		claims, _ := claimsWithLeases(count)
		informer := start(t, claims, watch.NewFake(), func(informer toolscache.SharedIndexInformer) {
			if err := informer.AddIndexers(toolscache.Indexers{"pod": byPod}); err != nil {
				t.Fatal(err)
			}
		})
		next := 0
		return testing.AllocsPerRun(count/2, func() {
			found, err := informer.GetIndexer().ByIndex("pod", fmt.Sprintf("farm/set-%d", next))
			if err != nil || len(found) != 1 {
				t.Fatalf("%d claims of pod set-%d are found (%v)", len(found), next, err)
			}
			next++
		})
	}
	small, large := cost(500), cost(50_000)
	t.Logf("%.0f allocations among 500 claims, %.0f among 50,000", small, large)
	if large > small+1 {
		t.Errorf("one claim takes %.0f allocations among 50,000, and %.0f among 500", large, small)
	}
}
