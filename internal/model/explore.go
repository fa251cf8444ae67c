// SPDX-License-Identifier: Apache-2.0

package model

import "slices"

// Result is what an exploration came to.
type Result struct {
	States, Transitions, Depth int
	// Steps is how many steps lead to a violation. What is done at once is one of them, and several lines of the trace.
	Steps int
	// Invariant that is violated, what is wrong, and how it came to it; "" if none is.
	Invariant, What string
	Trace           []string
}

// explorer walks all states, breadth first, so that the first violation it meets is a shortest one.
type explorer struct {
	machine

	keys   []key
	parent []uint32
	slots  []uint32 // hash table: index + 1 of a key

	// mends are the edges of steps that mend, for I5: those of state i end at starts[i+1].
	mends  []uint32
	starts []uint32
}

// Explore visits every state of the scope without the guards that are off.
func Explore(scope Scope, off Guards) Result {
	return explorer{machine: machine{scope: scope, off: off}}.run()
}

// exploreRaw is Explore without anything that makes fewer states of many: slow, and with the same result if that is sound.
func exploreRaw(scope Scope, off Guards) Result {
	return explorer{machine: machine{scope: scope, off: off, raw: true}}.run()
}

func (e *explorer) withRestores() bool { return e.scope.Restores > 0 }

func (e explorer) run() (r Result) {
	e.slots, e.starts = make([]uint32, 1<<16), []uint32{0}
	var first state
	e.add(first.pack(e.withRestores()), 0)
	levelEnd := 1
	for i := 0; i < len(e.keys); i++ { //nolint:intrange // the keys grow while they are visited
		if i == levelEnd {
			r.Depth++
			levelEnd = len(e.keys)
		}
		s := e.keys[i].unpack(e.withRestores())
		if r.Invariant, r.What = e.check(&s); r.Invariant != "" {
			r.States = len(e.keys)
			r.Trace, r.Steps = e.trace(i)
			return r
		}
		e.next(&s, func(path []label, t *state) {
			r.Transitions++
			if !e.raw {
				t.canonical()
			}
			j := e.add(t.pack(e.withRestores()), i)
			if j != i && t.faults == s.faults && t.retries == s.retries && mend(path) {
				e.mends = append(e.mends, uint32(j)) //nolint:gosec // G115: bounded by memory
			}
		})
		e.starts = append(e.starts, uint32(len(e.mends))) //nolint:gosec // G115: bounded by memory
	}
	r.States = len(e.keys)
	if stuck := e.stuck(); stuck >= 0 {
		s := e.keys[stuck].unpack(e.withRestores())
		r.Invariant, r.What = "I5", "nothing ever ends "+e.orphan(&s)
		r.Trace, r.Steps = e.trace(stuck)
	}
	return r
}

// add enters a state, if it is new, and returns its number.
func (e *explorer) add(k key, parent int) int {
	if len(e.keys)*2 >= len(e.slots) {
		e.grow()
	}
	mask := uint64(len(e.slots) - 1) //nolint:gosec // G115: a length
	for h := k.hash() & mask; ; h = (h + 1) & mask {
		at := e.slots[h]
		if at == 0 {
			e.keys = append(e.keys, k)
			e.parent = append(e.parent, uint32(parent)) //nolint:gosec // G115: bounded by memory
			e.slots[h] = uint32(len(e.keys))            //nolint:gosec // G115: bounded by memory
			return len(e.keys) - 1
		}
		if e.keys[at-1] == k {
			return int(at - 1)
		}
	}
}

func (e *explorer) grow() {
	e.slots = make([]uint32, 2*len(e.slots))
	mask := uint64(len(e.slots) - 1) //nolint:gosec // G115: a length
	for i := range e.keys {
		h := e.keys[i].hash() & mask
		for e.slots[h] != 0 {
			h = (h + 1) & mask
		}
		e.slots[h] = uint32(i + 1)
	}
}

func (k *key) hash() uint64 {
	h := uint64(14695981039346656037)
	for _, w := range k {
		h ^= w
		h *= 0x9E3779B97F4A7C15
		h ^= h >> 29
	}
	return h ^ h>>32
}

// stuck is the first state from which no mending leads to one without orphans; -1 if there is none.
func (e *explorer) stuck() int {
	// The edges turned round: those into state j are from[into[j]:into[j+1]].
	into := make([]uint32, len(e.keys)+1)
	for _, j := range e.mends {
		into[j+1]++
	}
	for j := range e.keys {
		into[j+1] += into[j]
	}
	from := make([]uint32, len(e.mends))
	fill := append([]uint32(nil), into[:len(e.keys)]...)
	for i := range e.keys {
		for _, j := range e.mends[e.starts[i]:e.starts[i+1]] {
			from[fill[j]] = uint32(i)
			fill[j]++
		}
	}
	good := make([]bool, len(e.keys))
	var queue []uint32
	for i := range e.keys {
		s := e.keys[i].unpack(e.withRestores())
		if e.orphan(&s) == "" {
			good[i] = true
			queue = append(queue, uint32(i))
		}
	}
	for len(queue) > 0 {
		j := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, i := range from[into[j]:into[j+1]] {
			if !good[i] {
				good[i] = true
				queue = append(queue, i)
			}
		}
	}
	for i := range good {
		if !good[i] {
			return i
		}
	}
	return -1
}

// trace is how the exploration came to a state. The states on the way were renamed, each in its own way; they are walked again with the names that
// the first steps gave.
func (e *explorer) trace(to int) (lines []string, steps int) {
	var walk []int
	for i := to; i != 0; i = int(e.parent[i]) {
		walk = append(walk, i)
	}
	var s state
	var read message
	for _, v := range slices.Backward(walk) {
		var then state
		var by []label
		found := false
		e.next(&s, func(path []label, t *state) {
			named := *t
			if !e.raw {
				named.canonical()
			}
			if !found && named.pack(e.withRestores()) == e.keys[v] {
				found, by, then = true, slices.Clone(path), *t
			}
		})
		for _, l := range by {
			if l.read.kind != writeNothing && read != l.read {
				read = l.read
				lines = append(lines, "a manager that is slow is about to do this: it "+l.read.String())
			}
			lines = append(lines, l.String())
		}
		s = then
	}
	return lines, len(walk)
}

// mend tells whether all the steps mend.
func mend(path []label) bool {
	for _, l := range path {
		if !l.action.mends() {
			return false
		}
	}
	return true
}
