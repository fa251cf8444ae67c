// SPDX-License-Identifier: Apache-2.0

package timeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// api is an API server that knows MacNodes and pools. It can be set back to what it was.
type api struct {
	client.Reader

	revision int
	nodes    map[string]v1alpha1.MacNodeStatus
	uids     map[string]types.UID
	pools    map[string]v1alpha1.MacPoolStatus
	lists    map[string]int // kind -> how often it was listed
	err      error
}

func newAPI(nodes ...string) *api {
	a := &api{
		revision: 100, nodes: map[string]v1alpha1.MacNodeStatus{}, uids: map[string]types.UID{},
		pools: map[string]v1alpha1.MacPoolStatus{"iot": {}}, lists: map[string]int{},
	}
	for _, name := range nodes {
		a.renew(name)
	}
	return a
}

func (a *api) copy() *api {
	return &api{revision: a.revision, nodes: maps.Clone(a.nodes), uids: maps.Clone(a.uids), pools: maps.Clone(a.pools)}
}

// restore sets the API back. bumped: the restore has skipped revisions, as etcdutl can.
func (a *api) restore(to *api, bumped bool) {
	a.nodes, a.uids, a.pools = maps.Clone(to.nodes), maps.Clone(to.uids), maps.Clone(to.pools)
	if bumped {
		a.revision += 1_000_000
	} else {
		a.revision = to.revision
	}
}

func (a *api) renew(name string) { a.on(name, a.nodes[name].Timeline) }

// on renews a node on a timeline.
func (a *api) on(name string, timeline int64) {
	a.revision++
	if _, ok := a.nodes[name]; !ok {
		a.uids[name] = types.UID(fmt.Sprintf("%s-%d", name, a.revision))
	}
	status := a.nodes[name]
	status.Epoch++
	status.Timeline = timeline
	status.RenewTime = metav1.NowMicro()
	a.nodes[name] = status
}

func (a *api) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if a.err != nil {
		return a.err
	}
	list.SetResourceVersion(strconv.Itoa(a.revision))
	a.lists[fmt.Sprintf("%T", list)]++
	switch list := list.(type) {
	case *v1alpha1.MacNodeList:
		for _, name := range slices.Sorted(maps.Keys(a.nodes)) {
			list.Items = append(list.Items, v1alpha1.MacNode{
				ObjectMeta: metav1.ObjectMeta{Name: name, UID: a.uids[name]}, Status: a.nodes[name],
			})
		}
	case *v1alpha1.MacPoolList:
		for _, name := range slices.Sorted(maps.Keys(a.pools)) {
			list.Items = append(list.Items, v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: a.pools[name]})
		}
	default:
		return fmt.Errorf("no %T here", list)
	}
	return nil
}

func paused(timeline int64) v1alpha1.MacPoolStatus {
	return v1alpha1.MacPoolStatus{Timeline: timeline, Conditions: []metav1.Condition{{
		Type: v1alpha1.PoolAllocationPaused, Status: metav1.ConditionTrue, Message: "waiting for node b",
	}}}
}

// answer is what the gate says: open, paused, or whom it waits for.
func answer(t *testing.T, g *Gate) string {
	t.Helper()
	err := g.Check(t.Context(), "iot")
	var u *Unsettled
	switch {
	case err == nil:
		return "open"
	case problem.AllocationPaused.Is(err):
		return "paused"
	case errors.As(err, &u) && u.Waiting == nil:
		return "nobody known"
	case errors.As(err, &u):
		return fmt.Sprint(u.Waiting)
	default:
		return err.Error()
	}
}

// TestGate walks through what opens and closes the gate. Each step is a second after the one before (R-B1, R-K3, M10).
func TestGate(t *testing.T) {
	type step struct {
		do   func(a *api, g *Gate)
		want string
	}
	renew := func(names ...string) func(*api, *Gate) {
		return func(a *api, _ *Gate) {
			for _, name := range names {
				a.renew(name)
			}
		}
	}
	wait := func(d time.Duration) func(*api, *Gate) { return func(*api, *Gate) { time.Sleep(d) } }
	nothing := func(*api, *Gate) {}
	doubt := func(_ *api, g *Gate) { g.Doubt() }
	var before *api
	for name, steps := range map[string][]step{
		"a start waits for every node": {
			{nothing, "[a b]"}, {renew("a"), "[b]"}, {renew("a"), "[b]"}, {renew("b"), "open"}, {wait(time.Hour), "open"},
		},
		"what the first list shows was written before": {
			{renew("a", "b"), "[a b]"}, {renew("a", "b"), "open"},
		},
		"a node that is away is not waited for": {
			{nothing, "[a b]"},
			{renew("a"), "[b]"},
			{wait(37 * time.Second), "[b]"},
			{wait(time.Second), "open"},
			// It is known to be away the next time.
			{renew("a"), "open"},
			{doubt, "[a]"},
			{renew("a"), "open"},
			// And known to be back.
			{renew("b"), "open"},
			{doubt, "[a b]"},
			{renew("a", "b"), "open"},
		},
		"a node that comes during the wait": {
			{nothing, "[a b]"}, {renew("c"), "[a b]"}, {renew("a", "b"), "open"},
		},
		"a node that is deleted during the wait": {
			{nothing, "[a b]"},
			{func(a *api, _ *Gate) { delete(a.nodes, "b"); a.renew("a") }, "[b]"},
			{wait(40 * time.Second), "open"},
		},
		"a new doubt begins anew": {
			{nothing, "[a b]"}, {renew("a"), "[b]"}, {doubt, "[a b]"}, {renew("b"), "[a]"}, {renew("a"), "open"},
		},
		"no node at all": {
			{func(a *api, _ *Gate) { clear(a.nodes) }, "nobody known"}, {wait(13 * time.Second), "nobody known"}, {wait(time.Second), "open"},
		},
		"no node, then the first": {
			{func(a *api, _ *Gate) { clear(a.nodes) }, "nobody known"}, {renew("a"), "open"},
		},
		"the definitions are made again (F27): the nodes that were there are waited for": {
			{renew("a", "b"), "[a b]"},
			{renew("a", "b"), "open"},
			{func(a *api, g *Gate) { clear(a.nodes); g.Doubt() }, "[a b]"},
			{renew("a"), "[b]"},
			{renew("b"), "open"},
		},
		"a node finds that the API went back (F28)": {
			{renew("a", "b"), "[a b]"},
			{renew("a", "b"), "open"},
			{func(a *api, g *Gate) { a.on("a", 1); g.Doubt() }, "[a b]"},
			{renew("a", "b"), "paused"}, // b is on the timeline before
			{func(a *api, _ *Gate) { a.on("b", 1) }, "paused"},
			{func(a *api, _ *Gate) { a.pools["iot"] = paused(1) }, "paused"},
			{func(a *api, _ *Gate) { a.pools["iot"] = v1alpha1.MacPoolStatus{Timeline: 1} }, "open"},
		},
		"a timeline that grows without a doubt": {
			{renew("a", "b"), "[a b]"},
			{renew("a", "b"), "open"},
			{func(a *api, _ *Gate) { a.on("a", 1); a.pools["iot"] = paused(1); time.Sleep(2 * time.Second) }, "[a b]"},
			{func(a *api, _ *Gate) { a.on("a", 1); a.on("b", 1) }, "paused"},
		},
		"the revision goes back": {
			{func(a *api, _ *Gate) { before = a.copy() }, "[a b]"},
			{renew("a", "b"), "open"},
			{func(a *api, g *Gate) { a.restore(before, false); g.Doubt() }, "[a b]"},
			{nothing, "[a b]"},
			{renew("a", "b"), "open"},
		},
		"the revision jumps, the epochs go back": {
			{func(a *api, _ *Gate) { before = a.copy() }, "[a b]"},
			{renew("a", "b"), "open"},
			{func(a *api, g *Gate) { a.restore(before, true); g.Doubt() }, "[a b]"},
			{nothing, "[a b]"},
			{renew("a", "b"), "open"},
		},
		"a node whose disk was lost counts from one": {
			{renew("a", "b"), "[a b]"},
			{renew("a", "b"), "open"},
			{func(a *api, g *Gate) { delete(a.nodes, "b"); a.renew("b"); a.renew("a"); g.Doubt() }, "[a b]"},
			{renew("a", "b"), "open"},
		},
		"the wall clock says nothing": {
			{func(a *api, _ *Gate) {
				s := a.nodes["b"]
				s.RenewTime = metav1.NewMicroTime(time.Now().Add(-time.Hour))
				a.nodes["b"] = s
			}, "[a b]"}, {renew("a"), "[b]"},
		},
		"a pool that does not exist": {
			{func(a *api, _ *Gate) { clear(a.pools) }, "[a b]"}, {renew("a", "b"), "open"},
		},
		"a pool that does not exist yet, after the API went back (F27)": {
			{func(a *api, _ *Gate) { clear(a.pools) }, "[a b]"},
			{func(a *api, _ *Gate) { a.on("a", 1); a.on("b", 1) }, "[a b]"},
			{renew("a", "b"), "paused"},
			{func(a *api, _ *Gate) { a.pools["iot"] = v1alpha1.MacPoolStatus{} }, "paused"},
			{func(a *api, _ *Gate) { a.pools["iot"] = v1alpha1.MacPoolStatus{Timeline: 1} }, "open"},
		},
		"the API does not answer": {
			{func(a *api, _ *Gate) { a.err = errors.New("no route") }, "listing MacNodes: no route"},
			{func(a *api, _ *Gate) { a.err = nil }, "[a b]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI("a", "b")
				g := New(a, clock.RealClock{}, Times{})
				for i, s := range steps {
					s.do(a, g)
					if got := answer(t, g); got != s.want {
						t.Fatalf("step %d: the gate says %s, want %s", i, got, s.want)
					}
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// TestGateTrusts proves that a process that can tell by itself need not wait, but for doubts that came later.
func TestGateTrusts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI("a", "b")
		g := New(a, clock.RealClock{}, Times{})
		doubt := g.Doubts()
		if err := g.Trust(t.Context(), doubt); err != nil {
			t.Fatal(err)
		}
		if got := answer(t, g); got != "open" {
			t.Errorf("trusted, the gate says %s", got)
		}
		g.Doubt()
		if err := g.Trust(t.Context(), doubt); err != nil {
			t.Fatal(err)
		}
		if got := answer(t, g); got != "[a b]" {
			t.Errorf("after a later doubt the gate says %s", got)
		}
	})
}

// TestGateWentBack proves that a process learns that its watches are of no use any more (F28): from a revision, an epoch or
// a timeline. Its own doubts, and nodes that come and go, say no such thing.
func TestGateWentBack(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(a *api, g *Gate, before *api)
		want bool
	}{
		"a doubt":          {func(_ *api, g *Gate, _ *api) { g.Doubt() }, false},
		"a renewal":        {func(a *api, _ *Gate, _ *api) { a.renew("a") }, false},
		"a new node":       {func(a *api, _ *Gate, _ *api) { a.renew("c") }, false},
		"a node goes":      {func(a *api, _ *Gate, _ *api) { delete(a.nodes, "b") }, false},
		"another disk":     {func(a *api, _ *Gate, _ *api) { delete(a.nodes, "b"); a.renew("b") }, false},
		"an older state":   {func(a *api, _ *Gate, before *api) { a.restore(before, false) }, true},
		"an older epoch":   {func(a *api, _ *Gate, before *api) { a.restore(before, true) }, true},
		"a later timeline": {func(a *api, _ *Gate, _ *api) { a.on("a", 1) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI("a", "b")
				before := a.copy()
				a.renew("a")
				a.renew("b")
				g := New(a, clock.RealClock{}, Times{})
				if _, err := g.Nodes(t.Context()); err != nil {
					t.Fatal(err)
				}
				c.do(a, g, before)
				if _, err := g.Nodes(t.Context()); err != nil {
					t.Fatal(err)
				}
				got := false
				select {
				case <-g.WentBack():
					got = true
				default:
				}
				if got != c.want {
					t.Errorf("went back: %t, want %t", got, c.want)
				}
			})
		})
	}
}

// TestGateAsksLittle proves that an open gate costs a list of the pools every second and a half, if it is asked at all.
func TestGateAsksLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI("a", "b")
		g := New(a, clock.RealClock{}, Times{})
		answer(t, g)
		time.Sleep(time.Second)
		a.renew("a")
		a.renew("b")
		answer(t, g)
		clear(a.lists)
		for range 1000 {
			if got := answer(t, g); got != "open" {
				t.Fatal(got)
			}
			time.Sleep(10 * time.Millisecond)
		}
		want := map[string]int{"*v1alpha1.MacPoolList": 6}
		if diff := cmp.Diff(want, a.lists); diff != "" {
			t.Errorf("lists in ten seconds (-want +got):\n%s", diff)
		}
	})
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		nodes []string
		want  string
	}{
		{nil, "any node"},
		{[]string{"a"}, "node a"},
		{[]string{"b", "a"}, "a, b"},
		{[]string{"a", "b", "c", "d", "e", "f", "g"}, "a, b, c, d, e and 2 more"},
	} {
		if got := Names(c.nodes); got != c.want {
			t.Errorf("Names(%v) = %q, want %q", c.nodes, got, c.want)
		}
	}
}
