// SPDX-License-Identifier: Apache-2.0

//go:build property && (amd64 || arm64)

package dice_test

import (
	"runtime"
	"slices"
	"testing"

	"github.com/macpool/macpool/internal/protocoltest/dice"
)

func TestLoad(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	keys := map[int]bool{}
	for i := range 100 {
		keys[i] = true
	}
	throw := func(seed uint64) []int {
		if !dice.Load(seed) {
			t.Fatal("the runtime has its random numbers elsewhere than they were looked for")
		}
		var seen []int
		for range 50 {
			ready := [2]chan int{make(chan int, 1), make(chan int, 1)}
			ready[0] <- 0
			ready[1] <- 1
			select {
			case n := <-ready[0]:
				seen = append(seen, n)
			case n := <-ready[1]:
				seen = append(seen, n)
			}
			for key := range keys {
				seen = append(seen, key)
				break
			}
		}
		return seen
	}
	first := throw(1)
	if again := throw(1); !slices.Equal(first, again) {
		t.Errorf("the same seed leads to %v and to %v", first, again)
	}
	if other := throw(2); slices.Equal(first, other) {
		t.Error("another seed leads to the same")
	}
}
