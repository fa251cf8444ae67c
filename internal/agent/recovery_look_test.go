// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestOneLookForMany proves that a storm of ADDs does not ask the API one after another whether it has gone back: whoever asks
// while a look is under way shares the next one, and none shares a look that began before it asked.
func TestOneLookForMany(t *testing.T) {
	n := startNode(t)
	n.awaitReady(t)
	const many = 20
	var looks atomic.Int32
	entered, release := make(chan struct{}), make(chan struct{})
	n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, "/macnodes/"+n.name) {
			if looks.Add(1) == 1 {
				close(entered)
				<-release
			}
		}
		return next.RoundTrip(req)
	})
	var asking sync.WaitGroup
	ask := func() {
		if _, why, err := n.agent.recovery.look(t.Context()); why != "" || err != nil {
			t.Errorf("the look: %q, %v", why, err)
		}
	}
	asking.Go(ask)
	<-entered
	var waiting atomic.Int32
	for range many {
		asking.Go(func() {
			waiting.Add(1)
			ask()
		})
	}
	eventually(t, "all to ask", func() error {
		n.agent.recovery.mu.Lock()
		defer n.agent.recovery.mu.Unlock()
		if waiting.Load() < many || n.agent.recovery.next == nil {
			return errNotReady
		}
		return nil
	})
	if got := looks.Load(); got != 1 {
		t.Fatalf("%d looks while one is under way", got)
	}
	close(release)
	asking.Wait()
	// One for all, one that the scheduler may have parted from them, and the reporter's.
	if got := looks.Load(); got < 2 || got > 4 {
		t.Errorf("%d looks for %d who asked during the first, want one or few more", got, many)
	}
}

// TestGoodLookIsShortlived proves that a good look answers for the next question, but not if the API server was away since, nor for
// long (R-B1).
func TestGoodLookIsShortlived(t *testing.T) {
	n := startNode(t)
	n.awaitReady(t)
	r := n.agent.recovery
	fresh := func() {
		t.Helper()
		eventually(t, "a good look", func() error {
			if _, why, err := r.look(t.Context()); why != "" || err != nil {
				t.Errorf("the look: %q, %v", why, err)
			}
			if !r.isFresh() {
				return errNotReady
			}
			return nil
		})
	}
	fresh()
	n.agent.contact.back()
	if r.isFresh() {
		t.Error("it answers although the API server was away since")
	}
	fresh()
	r.busy <- struct{}{} // no look ends meanwhile
	defer func() { <-r.busy }()
	r.mu.Lock()
	r.good.began = r.good.began.Add(-lookFresh)
	r.mu.Unlock()
	if r.isFresh() {
		t.Errorf("it answers after %s", lookFresh)
	}
}
