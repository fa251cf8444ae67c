// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/macpool/macpool/internal/ledger"
)

// calm is how long the ledger is not written anew after it has been, and so how late the page may be.
const calm = 500 * time.Millisecond

// book has the ledger as of now. It is written anew when somebody asks and something has changed, and then for all who ask.
type book struct {
	cluster
	clock clock.PassiveClock

	mu      sync.Mutex
	version uint64
	edition *edition
}

// edition is the ledger at one time, and the objects that it was made of.
type edition struct {
	*ledger.Snapshot
	objects ledger.Objects

	mu sync.Mutex
	// charts are those of now, by pool: the map, its rows and what is beside it are made of one.
	charts map[string]*ledger.Chart
}

// chart is a pool at a time; false if there is none, or it has no addresses.
func (e *edition) chart(pool string, at time.Time) (*ledger.Chart, bool) {
	if !at.Equal(e.Time) {
		return e.Chart(pool, at)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, ok := e.charts[pool]; ok {
		return c, true
	}
	c, ok := e.Chart(pool, at)
	if ok {
		e.charts[pool] = c
	}
	return c, ok
}

// read is the ledger as of now, at most calm old.
func (b *book) read(ctx context.Context) (*edition, error) {
	if !b.ready() {
		return nil, &refusal{http.StatusServiceUnavailable, "the cluster is still being read: the page says how far"}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	version, _ := b.changes()
	if b.edition != nil && (version == b.version || b.clock.Since(b.edition.Time) < calm) {
		return b.edition, nil
	}
	objects, err := ledger.Read(ctx, b)
	if err != nil {
		return nil, err
	}
	b.version, b.edition = version, &edition{Snapshot: ledger.New(objects, b.clock.Now()), objects: objects, charts: map[string]*ledger.Chart{}}
	return b.edition, nil
}

// ready tells whether all kinds are read.
func (b *book) ready() bool {
	for _, kind := range b.progress() {
		if !kind.Done {
			return false
		}
	}
	return true
}
