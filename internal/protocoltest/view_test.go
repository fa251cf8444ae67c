// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"time"

	"pgregory.net/rapid"

	"github.com/macpool/macpool/internal/memapi"
)

// frozen is a lag that nothing catches up with.
const frozen = -1

// viewOf is how far the watches of a process have come.
type viewOf struct {
	*memapi.Cache

	of *process
	// lag is by how many changes a kind stays behind; frozen: it sees none.
	lag map[string]int
	// until is when a lag ends by itself.
	until map[string]time.Time
	// relist: the next thing that a kind sees is a list.
	relist map[string]bool

	// relisted, if set, is told of each list but the first.
	relisted func()

	// When nothing was left to be seen.
	server             *memapi.Server
	version, informers int
	// poolsSeen are the times when it knew all pools.
	poolsSeen []time.Time
}

func newView(of *process, server *memapi.Server, cache *memapi.Cache) *viewOf {
	return &viewOf{Cache: cache, of: of, server: server, lag: map[string]int{}, until: map[string]time.Time{}, relist: map[string]bool{}}
}

// follow shows the watches what they may see, and tells whether there was anything.
func (v *viewOf) follow() bool {
	if v.of.dead.Load() || v.of.cut {
		return false
	}
	v.recover()
	if v.lag["MacPool"] == 0 {
		v.poolsSeen = append(v.poolsSeen, time.Now())
	}
	informers, version := v.Informers(), v.server.Version()
	if version == v.version && len(informers) == v.informers {
		return false
	}
	changed := false
	for _, i := range informers {
		lag := v.lag[i.Name()]
		if lag == frozen && i.HasSynced() {
			continue
		}
		behind := i.Behind()
		switch {
		case behind < 0 || v.relist[i.Name()]:
			if i.Served() {
				delete(v.relist, i.Name())
				if i.HasSynced() && v.relisted != nil {
					v.relisted()
				}
				i.Relist()
				changed = true
			}
		case behind > lag:
			i.Follow(behind - lag)
			changed = true
		}
	}
	if !changed {
		v.version, v.informers = version, len(informers)
	}
	return changed
}

// recover ends the lags whose time is over: the client finds out that a connection is dead, and the server ends each watch after some minutes.
func (v *viewOf) recover() {
	for kind, until := range v.until {
		if !time.Now().Before(until) {
			v.set(kind, 0, false)
		}
	}
}

// lags makes a kind lag for some time.
func (v *viewOf) lags(kind string, lag int, t *rapid.T) time.Duration {
	lasts := pick(t, "lasts", []time.Duration{10 * time.Second, time.Minute, 8 * time.Minute})
	v.set(kind, lag, false)
	v.until[kind] = time.Now().Add(lasts)
	return lasts
}

// set makes a kind lag, or list.
func (v *viewOf) set(kind string, lag int, relist bool) {
	delete(v.until, kind)
	v.lag[kind], v.version = lag, -1
	if relist {
		v.relist[kind] = true
	}
}

// catchUp ends all lags; with relist, by lists.
func (v *viewOf) catchUp(relist bool) {
	for _, i := range v.Informers() {
		v.set(i.Name(), 0, relist)
	}
}
