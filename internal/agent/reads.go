// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"sync"
	"time"
)

const (
	// sharedReadTimeout bounds a read that several wait for.
	sharedReadTimeout = 5 * time.Second
	// company is how long who asks first waits for others. ADDs of a pod's interfaces, and of pods that were scheduled together, come together; and the
	// answer is mostly there before that of the write beside it, all the same.
	company = time.Millisecond
)

// reads are live reads that many ask for at once. Who asks while one is under way shares the next with all others who do: it begins after their
// questions, so that it says what their own would have said, and a storm of ADDs asks the API once for what all of them need. Safe for
// concurrent use; make one with newReads.
type reads[V any] struct {
	read func(ctx context.Context, key string) (V, error)

	mu   sync.Mutex
	keys map[string]*reading[V] // those that are being read
}

// reading is a key that is being read.
type reading[V any] struct {
	next *shared[V] // what waits for the one under way; nil for none
}

// shared is one read, for all who have asked for it before it began.
type shared[V any] struct {
	waiting int    // those who have not given up; under the lock of reads
	abandon func() // ends the read, once it has begun

	done  chan struct{} // closed when the rest is there
	value V
	err   error
}

func newReads[V any](read func(ctx context.Context, key string) (V, error)) *reads[V] {
	return &reads[V]{read: read, keys: map[string]*reading[V]{}}
}

// get is what a read that begins now finds. What it returns is shared, and not to be changed.
func (r *reads[V]) get(ctx context.Context, key string) (V, error) {
	r.mu.Lock()
	k := r.keys[key]
	if k == nil {
		k = &reading[V]{}
		r.keys[key] = k
		// Whoever asked first may hang up: the read is for all.
		go r.run(context.WithoutCancel(ctx), key, k)
	}
	if k.next == nil {
		k.next = &shared[V]{done: make(chan struct{})}
	}
	s := k.next
	s.waiting++
	r.mu.Unlock()
	select {
	case <-s.done:
		return s.value, s.err
	case <-ctx.Done():
		r.leave(s)
		var none V
		return none, context.Cause(ctx)
	}
}

// leave ends a read for which nobody waits any more: one that hangs would keep those who wait for the next.
func (r *reads[V]) leave(s *shared[V]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.waiting--; s.waiting == 0 && s.abandon != nil {
		s.abandon()
	}
}

// run reads for as long as somebody asks.
func (r *reads[V]) run(ctx context.Context, key string, k *reading[V]) {
	<-time.After(company) //nolint:forbidigo // for those who come meanwhile, by real time
	for {
		r.mu.Lock()
		s := k.next
		k.next = nil // who asks from here on needs one that begins later
		if s == nil || s.waiting == 0 {
			delete(r.keys, key)
			r.mu.Unlock()
			return
		}
		limited, cancel := context.WithTimeout(ctx, sharedReadTimeout)
		s.abandon = cancel
		r.mu.Unlock()
		s.value, s.err = r.read(limited, key)
		cancel()
		close(s.done)
	}
}
