// SPDX-License-Identifier: Apache-2.0

package timeline

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

// TestCrowd proves that many agents, after the API server was away, look at all nodes ever more seldom the more they are, each at a time of
// its own.
func TestCrowd(t *testing.T) {
	const n, each = 100, 10 * time.Millisecond // a look is used for 100 s
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		renew := func() {
			for i := range n {
				a.renew(fmt.Sprint("node-", i))
			}
		}
		renew()
		var gates []*Gate
		for range n {
			g := New(a, clock.RealClock{}, Times{Crowd: each})
			if err := g.Settle(t.Context()); err == nil { // the first look is made at once: it is not known who there is
				t.Fatal("nobody was waited for")
			}
			if err := g.Trust(t.Context(), g.Doubts()); err != nil {
				t.Fatal(err)
			}
			g.Doubt()
			gates = append(gates, g)
		}
		clear(a.lists)

		// The nodes go on reporting, and each agent asks again as its heartbeat does.
		begin := time.Now()
		settled, least, most := 0, time.Hour, time.Duration(0)
		var asking sync.WaitGroup
		var mu sync.Mutex
		for _, g := range gates {
			asking.Go(func() {
				for {
					mu.Lock() // the API server here does one thing at a time
					err := g.Settle(t.Context())
					mu.Unlock()
					var u *Unsettled
					if !errors.As(err, &u) {
						break
					}
					if u.After <= 0 || u.After > n*n*each {
						t.Errorf("the next look is to be in %s: %v", u.After, u)
						return
					}
					time.Sleep(u.After)
				}
				mu.Lock()
				defer mu.Unlock()
				took := time.Since(begin)
				settled, least, most = settled+1, min(least, took), max(most, took)
			})
		}
		done := make(chan struct{})
		go func() {
			tick := time.NewTicker(10 * time.Second)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					mu.Lock()
					renew()
					mu.Unlock()
				case <-done:
					return
				}
			}
		}()
		asking.Wait()
		close(done)
		if looks := a.lists["*v1alpha1.MacNodeList"]; settled != n || looks != 2*n {
			t.Errorf("%d of %d are settled by %d lists", settled, n, looks)
		}
		if least < n*n*each || most > 2*n*n*each || most-least < n*n*each/2 {
			t.Errorf("the first was settled after %s, the last after %s", least, most)
		}
	})
}

// TestUnheardInACrowd proves that a node is not taken for silent before the next look, however long that is away.
func TestUnheardInACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI("a", "b")
		g := New(a, clock.RealClock{}, Times{Crowd: 25 * time.Second}) // a look is used for 100 s
		begin := time.Now()
		for _, wait := range []time.Duration{0, 50 * time.Second, 49 * time.Second} {
			time.Sleep(wait)
			if got := answer(t, g); got != "[a b]" {
				t.Errorf("%s after the only look the gate says %s", time.Since(begin), got)
			}
			a.renew("a")
			a.renew("b")
		}
		time.Sleep(time.Second)
		if got := answer(t, g); got != "open" {
			t.Errorf("after the second look the gate says %s", got)
		}
	})
}
