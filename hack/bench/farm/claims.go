// SPDX-License-Identifier: Apache-2.0

package farm

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Claims follows the claims of a pool's namespace.
type Claims struct {
	mu      sync.Mutex
	changed chan struct{}                 // closed at the next change
	byName  map[string]*v1alpha1.MacClaim // the latest of each
}

// Follow begins to follow the claims, until ctx ends.
func (p *Pool) Follow(ctx context.Context) *Claims {
	c := &Claims{changed: make(chan struct{}), byName: map[string]*v1alpha1.MacClaim{}}
	go func() {
		for ctx.Err() == nil {
			w, err := p.farm.Watch.Watch(ctx, &v1alpha1.MacClaimList{}, client.InNamespace(p.Name))
			if err != nil {
				time.Sleep(50 * time.Millisecond)
				continue
			}
			for e := range w.ResultChan() {
				c.note(e)
			}
		}
	}()
	return c
}

func (c *Claims) note(e watch.Event) {
	claim, ok := e.Object.(*v1alpha1.MacClaim)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byName[claim.Name] = claim
	if e.Type == watch.Deleted {
		delete(c.byName, claim.Name)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// Await waits until that many claims are as asked.
func (c *Claims) Await(ctx context.Context, count int, what string, is func(*v1alpha1.MacClaim) bool) error {
	ctx, cancel := context.WithTimeout(ctx, awaitTimeout)
	defer cancel()
	for {
		c.mu.Lock()
		n, changed := 0, c.changed
		for _, claim := range c.byName {
			if is(claim) {
				n++
			}
		}
		c.mu.Unlock()
		if n >= count {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for claims that are %s: there are %d of %d: %w", what, n, count, ctx.Err())
		}
		time.Sleep(awaitStep)
	}
}

const (
	awaitTimeout = 2 * time.Minute
	// awaitStep is how exact an end is known. Counting at each of thousands of events would cost more than what is measured.
	awaitStep = 2 * time.Millisecond
)

// All are the claims as they are now, by name.
func (c *Claims) All() map[string]*v1alpha1.MacClaim {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.byName)
}

// Held tells whether a claim has a lease and a holder.
func Held(c *v1alpha1.MacClaim) bool { return c.Status.LeaseName != "" && c.Status.Holder != nil }

// HeldBy tells the same for pods of these UIDs.
func HeldBy(uids map[string]bool) func(*v1alpha1.MacClaim) bool {
	return func(c *v1alpha1.MacClaim) bool { return Held(c) && uids[string(c.Status.Holder.PodUID)] }
}
