// SPDX-License-Identifier: Apache-2.0

//go:build property && (amd64 || arm64)

// Package dice loads the dice of the Go runtime: which of several ready cases a select takes, where the iteration of a map begins, and which of
// two timers of one instant of a bubble's time comes first. A harness that runs one goroutine at a time, and loads them again
// whenever it has its turn, repeats a run from its seed. It knows where the runtime keeps its random numbers, makes sure of that
// first, and does nothing if it is wrong.
package dice

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"unsafe"
)

// thread is the runtime's m of the caller.
func thread() unsafe.Pointer

//go:linkname cheaprand runtime.cheaprand
func cheaprand() uint32

//go:linkname runtimeRand runtime.rand
func runtimeRand() uint64

const (
	// increment is what each cheaprand adds to its state.
	increment = 0xa0761d6478bd642f
	// stateSize is that of the generator of ChaCha8, which the runtime has right before the state of cheaprand.
	stateSize = 304
	// searched is how much of an m is looked at.
	searched = 1800
)

// at is where the state of cheaprand is, 0 if it was not found.
var at = find()

func find() uintptr {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m := thread()
	var before [searched / 8]uint64
	for i := range before {
		before[i] = *(*uint64)(unsafe.Add(m, i*8))
	}
	cheaprand()
	for i := stateSize / 8; i < len(before); i++ {
		if *(*uint64)(unsafe.Add(m, i*8))-before[i] != increment {
			continue
		}
		if found := uintptr(i * 8); works(m, found) {
			return found
		}
	}
	return 0
}

// works tells whether the generator before cheaprand's state is the one of maps: its next numbers are read ahead from a copy.
func works(m unsafe.Pointer, found uintptr) bool {
	var next rand.ChaCha8
	copy(bytes(unsafe.Pointer(&next)), bytes(unsafe.Add(m, found-stateSize)))
	return runtimeRand() == next.Uint64() && runtimeRand() == next.Uint64()
}

func bytes(of unsafe.Pointer) []byte { return unsafe.Slice((*byte)(of), stateSize) }

// Load has all that the caller's thread decides by chance from now on follow from the seed. It tells whether it could.
func Load(seed uint64) bool {
	if at == 0 {
		return false
	}
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	fresh := rand.NewChaCha8(key)
	m := thread()
	copy(bytes(unsafe.Add(m, at-stateSize)), bytes(unsafe.Pointer(fresh)))
	*(*uint64)(unsafe.Add(m, at)) = seed
	return true
}
