// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"time"

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
	// relist: the next thing that a kind sees is a list.
	relist map[string]bool

	// When nothing was left to be seen.
	server             *memapi.Server
	version, informers int
	// poolsSeen is when it knew all pools.
	poolsSeen time.Time
}

func newView(of *process, server *memapi.Server, cache *memapi.Cache) *viewOf {
	return &viewOf{Cache: cache, of: of, server: server, lag: map[string]int{}, relist: map[string]bool{}}
}

// follow shows the watches what they may see, and tells whether there was anything.
func (v *viewOf) follow() bool {
	if v.of.dead.Load() || v.of.cut {
		return false
	}
	if v.lag["MacPool"] == 0 {
		v.poolsSeen = time.Now()
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

// set makes a kind lag, or list.
func (v *viewOf) set(kind string, lag int, relist bool) {
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
