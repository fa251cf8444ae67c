// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/macpool/macpool/internal/links"
	"github.com/macpool/macpool/internal/wire"
)

const (
	// announcements is how often each address is announced, announceEvery the time between two (R-C16).
	announcements = 3
	announceEvery = time.Second
	// announceWithin is for how long after an ADD its interface is waited for, which the main plugin sets up after the answer.
	announceWithin = time.Minute
	// firstLook and lastLook are the least and the most time between two looks at an interface that is not up yet.
	firstLook, lastLook = 20 * time.Millisecond, 500 * time.Millisecond
	// announceQueue is how many ADDs may wait to be looked at; they are at once.
	announceQueue = 256
)

// announcer tells the VLAN, once an interface is up, that its pod has the address now. The kernel does so once by itself, as it is told to by
// arp_notify and ndisc_notify; a switch that is just learning loses that easily, and goes on sending to where the pod was before.
type announcer struct {
	*Agent

	// What a test may replace.
	announce func(link string, ip netip.Addr, mac string) (sent bool, err error)
	look     func(netns, iface string) (links.State, error)
	checked  func(netns, iface string, ip netip.Addr) (bool, error)

	work  chan attempt
	total atomic.Int64 // what was sent
}

func newAnnouncer(a *Agent, announce func(string, netip.Addr, string) (bool, error)) *announcer {
	if announce == nil {
		announce = wire.Announce
	}
	return &announcer{Agent: a, announce: announce, look: a.look, checked: links.HasChecked, work: make(chan attempt, announceQueue)}
}

// begin announces what was attached, if it is known where. It keeps nobody waiting.
func (n *announcer) begin(entry attempt) {
	if entry.Link == "" || entry.Lease == nil {
		return
	}
	select {
	case n.work <- entry:
	default:
		n.log.Info("Too many interfaces are to be announced, one was left to its kernel", "pod", entry.Pod, "interface", entry.Interface)
	}
}

func (n *announcer) run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case entry := <-n.work:
			all.Go(func() { n.serve(ctx, &entry) })
		case <-ctx.Done():
			return nil
		}
	}
}

// serve waits until the interface is up with the leased MAC, and announces each of its addresses three times. An IPv6 address is
// announced when the pod's kernel has checked it: to say that one has an address before that is not allowed. It gives up when the
// interface is gone, or its namespace is. In the wrapper form it is made after the answer.
func (n *announcer) serve(ctx context.Context, entry *attempt) {
	left := map[netip.Addr]int{}
	for _, ip := range entry.Lease.IPs {
		left[ip.Address.Addr()] = announcements
	}
	wait, seen := firstLook, false
	for until := n.clock.Now().Add(announceWithin); len(left) > 0 && n.clock.Now().Before(until); {
		current, ok := n.journal.get(entry.key())
		if !ok || current.State != attached {
			return
		}
		state, err := n.look(entry.NetNS, entry.Interface)
		if err != nil {
			n.log.V(1).Info("An interface is not announced", "pod", entry.Pod, "interface", entry.Interface, "error", err.Error())
			return
		}
		if state.MAC == "" && (seen || !n.netnsAlive(entry.NetNS)) {
			return
		}
		seen = seen || state.MAC != ""
		pause := wait
		if state.Up && state.MAC == entry.Lease.MAC && n.round(entry, left) {
			pause = announceEvery
		} else {
			wait = min(2*wait, lastLook)
		}
		if len(left) > 0 && n.pause(ctx, pause) != nil {
			return
		}
	}
}

// round announces once what can be announced, and tells whether that was something.
func (n *announcer) round(entry *attempt, left map[netip.Addr]int) (some bool) {
	for ip, times := range left {
		if ip.Is6() {
			// A kernel that cannot be asked leaves the announcement to itself.
			if checked, err := n.checked(entry.NetNS, entry.Interface, ip); err != nil {
				delete(left, ip)
				continue
			} else if !checked {
				continue
			}
		}
		sent, err := n.announce(entry.Link, ip, entry.Lease.MAC)
		switch {
		case err != nil: // the link may be down for a moment
			n.log.V(1).Info("An address was not announced", "pod", entry.Pod, "ip", ip, "error", err.Error())
			continue
		case !sent:
			delete(left, ip)
			continue
		}
		n.total.Add(1)
		some = true
		if left[ip] = times - 1; times == 1 {
			delete(left, ip)
		}
	}
	return some
}
