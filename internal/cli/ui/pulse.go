// SPDX-License-Identifier: Apache-2.0

package ui

import "sync"

// pulse tells any number of listeners that something has changed, and counts how often. The zero pulse is ready.
type pulse struct {
	mu    sync.Mutex
	count uint64
	next  chan struct{}
}

// beat wakes all who wait.
func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	if p.next != nil {
		close(p.next)
		p.next = nil
	}
}

// state is the count, and a channel that is closed when it grows.
func (p *pulse) state() (uint64, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == nil {
		p.next = make(chan struct{})
	}
	return p.count, p.next
}
