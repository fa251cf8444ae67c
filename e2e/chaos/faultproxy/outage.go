// SPDX-License-Identifier: Apache-2.0

package faultproxy

import (
	"context"
	"net"
	"net/http"
)

// Outage is how the client is cut off.
type Outage int

const (
	// None : it is not.
	None Outage = iota
	// Refused : its connections break, old ones at once and new ones with their first request.
	Refused
	// Silent : nothing is answered, and nothing breaks.
	Silent
)

// Partition cuts the client off until Heal.
func (p *Proxy) Partition(how Outage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outage == None && how != None {
		p.healed = make(chan struct{})
	}
	p.outage = how
	if how == Refused {
		for c := range p.conns {
			breakConn(c)
		}
	}
}

// Heal ends an outage. What was held up goes on.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outage != None {
		close(p.healed)
	}
	p.outage = None
}

// awaitWay waits for the way to be there. It tells whether the request may use it.
func (p *Proxy) awaitWay(ctx context.Context) bool {
	p.mu.Lock()
	outage, healed := p.outage, p.healed
	p.mu.Unlock()
	switch outage {
	case None:
		return true
	case Refused:
		return false
	case Silent:
	}
	select {
	case <-healed:
		return true
	case <-ctx.Done():
		return false
	}
}

// track knows the open connections.
func (p *Proxy) track(c net.Conn, state http.ConnState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch state {
	case http.StateNew:
		p.conns[c] = true
	case http.StateClosed, http.StateHijacked:
		delete(p.conns, c)
	case http.StateActive, http.StateIdle:
	}
}
