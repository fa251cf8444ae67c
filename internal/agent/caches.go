// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// renewTimeout bounds the filling of new caches.
	renewTimeout = 30 * time.Second
	// awaitTurn is how long the same caches are waited for before it is looked whether they still are the ones.
	awaitTurn = time.Second
)

var errNotFilled = errors.New("the caches were not filled in time")

// caches hold the pods of this node, stripped; the claims whose holder is on this node; and all pools. They can be made
// anew: after the API has gone back in time a watch goes on from a version that lies ahead, and shows for ever what is no more.
// Safe for concurrent use; make them with newCaches and call run once.
type caches struct {
	create func() (cache.Cache, error)
	// watch tells a cache what to hold. It is set before run is called.
	watch func(context.Context, cache.Cache) error
	log   logr.Logger

	wake chan struct{} // capacity 1: new ones are wanted

	mu      sync.RWMutex
	current cache.Cache
}

func newCaches(create func() (cache.Cache, error)) (*caches, error) {
	first, err := create()
	if err != nil {
		return nil, fmt.Errorf("making the caches: %w", err)
	}
	return &caches{create: create, wake: make(chan struct{}, 1), current: first}, nil
}

func (c *caches) now() cache.Cache {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.current
}

// Get is client.Reader's.
func (c *caches) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return c.now().Get(ctx, key, object, options...)
}

// List is client.Reader's.
func (c *caches) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return c.now().List(ctx, list, options...)
}

// knows tells at once whether the caches have the object. Get would wait for caches that are not filled yet, without the API for as long as ctx
// lets it.
func (c *caches) knows(ctx context.Context, key client.ObjectKey, object client.Object) bool {
	ended, end := context.WithCancel(ctx)
	end()
	return c.Get(ended, key, object) == nil
}

// await watches what the caches are to hold, and waits until they are filled.
func (c *caches) await(ctx context.Context) error {
	if err := c.watch(ctx, c.now()); err != nil {
		return err
	}
	// In turns: ones that were replaced meanwhile never fill.
	for ctx.Err() == nil {
		turn, cancel := context.WithTimeout(ctx, awaitTurn)
		filled := c.now().WaitForCacheSync(turn)
		if !filled {
			<-turn.Done() // also if it gave up at once
		}
		cancel()
		if filled {
			return nil
		}
	}
	return context.Cause(ctx)
}

// renew has the caches made anew. What is read meanwhile comes from the old ones.
func (c *caches) renew() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run follows the API until ctx ends.
func (c *caches) run(ctx context.Context) error {
	stop := c.begin(ctx, c.now())
	defer func() { stop() }()
	for {
		select {
		case <-c.wake:
		case <-ctx.Done():
			return nil
		}
		next, stopNext, err := c.fill(ctx)
		if err != nil {
			// Nobody believes the old ones meanwhile, and whoever compares them asks again.
			c.log.Error(err, "Making the caches anew did not succeed")
			continue
		}
		c.mu.Lock()
		c.current = next
		c.mu.Unlock()
		stop()
		stop = stopNext
		c.log.Info("The caches were made anew")
	}
}

// begin has a cache follow the API, until the function that it returns is called.
func (c *caches) begin(ctx context.Context, one cache.Cache) (stop func()) {
	running, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := one.Start(running); err != nil && running.Err() == nil {
			c.log.Error(err, "A cache ended")
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// fill makes a new cache and fills it.
func (c *caches) fill(ctx context.Context) (next cache.Cache, stop func(), err error) {
	if next, err = c.create(); err != nil {
		return nil, nil, fmt.Errorf("making the caches: %w", err)
	}
	if err := c.watch(ctx, next); err != nil {
		return nil, nil, err
	}
	stop = c.begin(ctx, next)
	limited, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	if !next.WaitForCacheSync(limited) {
		stop()
		return nil, nil, errNotFilled
	}
	return next, stop, nil
}
