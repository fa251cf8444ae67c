// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

// The start is over when little is allocated beside what is alive, however much that is, and is taken for over at some time.
func TestAwaitRest(t *testing.T) {
	const mega = 1 << 20
	for what, tc := range map[string]struct {
		alive     uint64
		allocated []uint64 // in each look; the last one goes on
		want      int      // after how many looks
	}{
		"at rest at once":           {alive: 10 * mega, allocated: []uint64{mega}, want: 1},
		"after the start":           {alive: 300 * mega, allocated: []uint64{900 * mega, 900 * mega, 50 * mega}, want: 3},
		"little for a large one":    {alive: 1000 * mega, allocated: []uint64{201 * mega, 199 * mega}, want: 2},
		"never":                     {alive: 300 * mega, allocated: []uint64{900 * mega}, want: restLooks},
		"what a small one does all": {alive: 10 * mega, allocated: []uint64{17 * mega, 15 * mega}, want: 2},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin, look, total := time.Now(), 0, uint64(0)
				over := awaitRest(t.Context(), func() (uint64, uint64) {
					if look > 0 {
						total += tc.allocated[min(look, len(tc.allocated))-1]
					}
					look++
					return total, tc.alive
				})
				if got := time.Since(begin); !over || got != time.Duration(tc.want)*restLook {
					t.Errorf("over: %v, after %s; want %d looks", over, got, tc.want)
				}
			})
		})
	}
}

func TestAwaitRestEnds(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if awaitRest(ctx, heap) {
		t.Error("who is told to end is at rest")
	}
}

func TestHeap(t *testing.T) {
	runtime.GC()
	before, alive := heap()
	kept := make([]byte, 8<<20)
	after, _ := heap()
	runtime.KeepAlive(kept)
	if after-before < 8<<20 || alive == 0 {
		t.Errorf("%d octets were allocated, and %d are alive", after-before, alive)
	}
}

// GOGC is obeyed.
func TestGarbage(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(70))
	for gogc, want := range map[string]int{"70": 70, "": garbagePercent} {
		t.Setenv("GOGC", gogc)
		debug.SetGCPercent(70)
		setGarbage()
		if got := debug.SetGCPercent(70); got != want {
			t.Errorf("GOGC=%q: %d %%, want %d", gogc, got, want)
		}
	}
}
