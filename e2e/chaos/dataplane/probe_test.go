// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// asker asks for addresses, from a MAC and an address that are nobody's, and judges the answers.
type asker struct {
	w *world

	mu                      sync.Mutex
	asked, answered, silent int64
	// flux are answers of one pod from two of its own interfaces, as Linux gives them on a VLAN to which it has both (arp_ignore 0).
	flux int64
	mute map[netip.Addr]int // how often in a row a pod that runs did not answer
}

func newAsker(w *world) *asker { return &asker{w: w, mute: map[netip.Addr]int{}} }

const (
	batch    = 12
	patience = 60 * time.Millisecond
	// settled is how long an interface must have been up to have to answer: the kernel checks IPv6 addresses for duplicates first, which
	// takes a second or two.
	settled = 4 * time.Second
)

// run asks until the end: most often for addresses that pods have, sometimes for any.
func (a *asker) run(pause time.Duration) {
	rng := a.w.rng("asker")
	for a.w.ctx.Err() == nil {
		for _, n := range a.w.nets {
			a.ask(n, a.choose(rng, n))
			time.Sleep(pause)
		}
	}
}

func (a *asker) choose(rng *rand.Rand, n *network) []netip.Addr {
	var ips []netip.Addr
	for _, live := range a.w.truth.snapshot(func(t *attempt) bool { return t.answered && t.gone.IsZero() && t.net.Name == load+"/"+n.name }) {
		ips = append(ips, live.ips...)
	}
	rng.Shuffle(len(ips), func(i, j int) { ips[i], ips[j] = ips[j], ips[i] })
	ips = ips[:min(len(ips), batch*2/3)]
	for len(ips) < batch {
		if ip := n.all[rng.IntN(len(n.all))]; !slices.Contains(ips, ip) {
			ips = append(ips, ip)
		}
	}
	return ips
}

// ask asks for addresses of a network and judges the answers. It returns those for which there was one.
func (a *asker) ask(n *network, ips []netip.Addr) map[netip.Addr][]string {
	before, asked := a.expected(n, ips), time.Now()
	answers, err := a.w.prober.Ask(n.vlan, n.asker, ips, patience)
	if err != nil {
		a.w.violate(other, "the prober does not work: %v", err)
		return nil
	}
	after := a.expected(n, ips)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ip := range ips {
		macs := answers[ip]
		a.asked++
		a.answered += int64(len(macs))
		if len(macs) > 1 && !a.w.contestedIP(ip) {
			go a.judgeTwo(ip, macs, a.who(ip), asked)
		}
		if before[ip] == nil || after[ip] != before[ip] || len(macs) > 0 {
			delete(a.mute, ip)
			continue
		}
		a.silent++
		// Under load the kernel drops broadcasts that macvlan has queued.
		if a.mute[ip]++; a.mute[ip] >= 5 {
			delete(a.mute, ip)
			a.w.violate(lostLease, "%s of %s, which runs, was not answered for five times; interfaces: %s", ip, before[ip], a.interfaces(before[ip]))
		}
	}
	return answers
}

// judgeTwo judges several answers for one address. An interface can answer before the scanner has seen it, and before its ADD has returned: what
// it saw at the moment of the answers is known two looks later.
func (a *asker) judgeTwo(ip netip.Addr, macs []string, who string, asked time.Time) {
	looks := a.w.scan.count()
	for a.w.ctx.Err() == nil && a.w.scan.count() < looks+2 {
		time.Sleep(10 * time.Millisecond)
	}
	if a.w.ofOnePod(macs, asked) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.flux++
		return
	}
	if a.w.scan.twoOfOnePod(ip.String()) {
		return
	}
	a.w.violate(duplicate, "%s was answered for %d times: %s; %s (I1)", ip, len(macs), strings.Join(macs, ", "), who)
}

func (a *asker) interfaces(of *attempt) string {
	all, err := of.sandbox.Interfaces()
	return fmt.Sprint(all, err)
}

// expected are the attempts that must answer for addresses: nothing has begun to end them, and they have been on the wire for a
// while.
func (a *asker) expected(n *network, ips []netip.Addr) map[netip.Addr]*attempt {
	steady := map[string]bool{}
	for _, h := range a.w.everywhere() {
		steady[h.Name] = h.steady()
	}
	t := a.w.truth
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[netip.Addr]*attempt{}
	for _, at := range t.attempts {
		if at.live() && !at.fenced && steady[at.host.Name] && at.net.Name == load+"/"+n.name && time.Since(at.ended) > settled {
			for _, ip := range at.ips {
				if slices.Contains(ips, ip) {
					all[ip] = at
				}
			}
		}
	}
	return all
}

// who are all that were given an address and whose namespace is there.
func (a *asker) who(ip netip.Addr) string {
	var all []string
	for _, at := range a.w.truth.snapshot(func(at *attempt) bool { return at.gone.IsZero() && slices.Contains(at.ips, ip) }) {
		all = append(all, at.String())
	}
	return "given to " + strings.Join(all, ", and to ")
}

// contestedIP tells whether an address is one of an identity that may have two holders now.
func (w *world) contestedIP(ip netip.Addr) bool {
	w.truth.mu.Lock()
	identity := w.truth.owners[ip]
	w.truth.mu.Unlock()
	return w.scan.contested(identity)
}
