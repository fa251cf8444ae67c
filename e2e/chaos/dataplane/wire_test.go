// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/e2e/lab"
)

// teardown is how long after its namespace is gone frames of an interface may still be on their way.
const teardown = time.Second

// wireJudge sees every frame that comes in at the ports of the hosts.
type wireJudge struct {
	w *world

	mu       sync.Mutex
	frames   int64
	asked    int64 // of those, probes and questions of agents
	unsure   int64 // of those, ones of an ADD that nobody was answered
	waiting  map[sighting]time.Time
	captures []*lab.Capture
}

// sighting is a MAC and an IP at a port at a time, of which many frames are one.
type sighting struct {
	host *host
	mac  string
	vlan int
	ip   netip.Addr
	kind uint16
	at   int64 // in tenths of a second
}

func newWireJudge(w *world) (*wireJudge, error) {
	j := &wireJudge{w: w, waiting: map[sighting]time.Time{}}
	for _, h := range w.everywhere() {
		all, err := h.Watch(func(f *lab.Frame) { j.see(h, f) })
		if err != nil {
			return nil, err
		}
		j.captures = append(j.captures, all...)
	}
	return j, nil
}

// see notes a frame; it is judged later, since a frame of an interface that has just come up is there before its ADD has
// answered.
func (j *wireJudge) see(h *host, f *lab.Frame) {
	ip := f.Sender
	if f.EtherType == unix.ETH_P_IPV6 {
		ip = f.IPv6
	}
	s := sighting{h, f.Source, f.VLAN, ip, f.EtherType, f.At.UnixMilli() / 100}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.frames++
	if _, known := j.waiting[s]; !known {
		j.waiting[s] = f.At
	}
}

// run judges what has waited long enough.
func (j *wireJudge) run() {
	for j.w.ctx.Err() == nil {
		time.Sleep(time.Second)
		j.judge(3 * time.Second)
	}
}

func (j *wireJudge) judge(after time.Duration) {
	type seen struct {
		sighting
		at time.Time
	}
	var due []seen
	j.mu.Lock()
	for s, at := range j.waiting {
		if time.Since(at) > after {
			due = append(due, seen{s, at})
			delete(j.waiting, s)
		}
	}
	j.mu.Unlock()
	for _, s := range due {
		verdict, again := j.verdict(s.sighting, s.at)
		switch {
		case again && time.Since(s.at) < time.Minute:
			j.mu.Lock()
			j.waiting[s.sighting] = s.at
			j.mu.Unlock()
		case verdict != "":
			j.w.violate(other, "a frame of type %#04x from %s (%s) with tag %d came in at %s %.1f s ago: %s", s.kind, s.mac, s.ip, s.vlan, s.host.Name, time.Since(s.at).Seconds(), verdict)
		}
	}
}

// verdict says what is wrong with a frame, if something is; again: an ADD that may explain it is still under way.
func (j *wireJudge) verdict(s sighting, at time.Time) (wrong string, again bool) {
	t := j.w.truth
	n := j.w.ours(s.mac)
	if n == nil {
		if s.ip == netip.IPv4Unspecified() || s.ip == netip.IPv6Unspecified() || s.ip.IsLinkLocalUnicast() {
			if s.host.IsParentMAC(s.mac) { // an agent asks
				j.mu.Lock()
				j.asked++
				j.mu.Unlock()
				return "", false
			}
		}
		return "nobody has this MAC", false
	}
	if j.w.lab.Backend != lab.BackendPlain && s.vlan != n.vlan {
		return fmt.Sprintf("it is a MAC of VLAN %d", n.vlan), false
	}
	t.mu.Lock()
	var here, elsewhere []*attempt
	for _, a := range t.byMAC[s.mac] {
		switch {
		case a.host == s.host.Node && a.mayBeUp(at, teardown):
			here = append(here, a)
		case a.host != s.host.Node && !a.ended.After(at) && (a.detach.IsZero() || a.detach.After(at)) && (a.gone.IsZero() || a.gone.After(at)):
			elsewhere = append(elsewhere, a)
		}
	}
	var unanswered []*attempt
	for _, a := range t.attempts {
		if a.host == s.host.Node && !a.answered && a.net.Name == load+"/"+n.name && a.mayBeUp(at, teardown) {
			unanswered = append(unanswered, a)
			again = again || a.ended.IsZero()
		}
	}
	t.mu.Unlock()
	if len(here) > 0 {
		if ip := s.ip; ip.IsValid() && !ip.IsUnspecified() && !ip.IsLinkLocalUnicast() && !j.podHas(here, ip, at) {
			return fmt.Sprintf("it says %s, and was given %v", ip, here[0].ips), false
		}
		return "", false
	}
	for _, a := range unanswered {
		if j.w.leases.ownedAt(s.mac, a.identity, at, 2*teardown) {
			j.mu.Lock()
			j.unsure++
			j.mu.Unlock()
			return "", false
		}
	}
	if again {
		return "", true
	}
	if len(elsewhere) > 0 {
		return fmt.Sprintf("at that time it was %s's", elsewhere[0]), false
	}
	return "no pod of this node had it then, nor was any ADD under way that had leased it", false
}

// podHas tells whether a sandbox of one of the attempts has the address, at whichever of its interfaces: Linux answers for all of its
// addresses by all of them. Whose ADD was not answered has what it had leased.
func (j *wireJudge) podHas(attempts []*attempt, ip netip.Addr, at time.Time) bool {
	t := j.w.truth
	for _, a := range attempts {
		for _, net := range a.sandbox.Networks {
			t.mu.Lock()
			b := t.attempts[attemptKey{a.sandbox.ID, net.Interface}]
			given := b != nil && slices.Contains(b.ips, ip)
			t.mu.Unlock()
			if given {
				return true
			}
			if n := j.w.poolOf(net); n != nil && j.w.leases.ownedAt(n.macOf(ip), identityOf(a.sandbox, net), at, 2*teardown) {
				return true
			}
		}
	}
	return false
}
