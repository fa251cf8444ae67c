// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/wire"
)

const (
	// verdictLife is for how long the VLAN's silence is believed. The link is listened to meanwhile.
	verdictLife = time.Minute
	// confirmAfter and confirmSpread are how long after an answer the VLAN is asked again. Two that probe at the same time hear
	// each other; the spread lets one of them be the first the next time.
	confirmAfter, confirmSpread = time.Second, 2 * time.Second
	// carrierWait and gatewayWait are for how long Strict waits for the link and for the gateway; a switch port may need some
	// seconds before it lets frames through.
	carrierWait, gatewayWait = 8 * time.Second, 8 * time.Second
	carrierPoll              = 250 * time.Millisecond
	// inquiryLimit bounds all of it, within the time of an ADD.
	inquiryLimit = 20 * time.Second
)

// inquiry is what the VLAN is asked before a pod gets an address.
type inquiry struct {
	verdictKey

	ips      []netip.Addr
	mac      string
	pool     string
	strict   bool
	gateways []netip.Addr
}

// verdictKey tells whose address was asked for where. A claim that gets the lease later is another one: there may have been time in between
// in which nobody listened.
type verdictKey struct {
	lease string
	claim types.UID
	link  string
}

// inquiryOf is what is to be asked for a bound claim on a link.
func inquiryOf(claim *v1alpha1.MacClaim, pool *v1alpha1.MacPool, link string) *inquiry {
	q := &inquiry{
		verdictKey: verdictKey{claim.Status.LeaseName, claim.UID, link},
		mac:        claim.Status.MAC, pool: pool.Name, strict: pool.Spec.ConflictMode() == v1alpha1.ConflictStrict,
	}
	for _, text := range claim.Status.IPs {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		q.ips = append(q.ips, ip)
		if gateway := withSubnet(ip, pool).Gateway; gateway.IsValid() {
			q.gateways = append(q.gateways, gateway)
		}
		if ip.Is6() { // its interface makes that of itself (R-L3)
			q.ips = append(q.ips, wire.LinkLocal(q.mac))
		}
	}
	return q
}

// verdicts are what the VLANs have answered about addresses that are about to be used. Each is asked once at a time, however many wait
// for it. Safe for concurrent use.
type verdicts struct {
	*Agent

	mu  sync.Mutex
	all map[verdictKey]*hearing
	// found are when strangers were found lately: pool -> times.
	found map[string][]time.Time

	// clean, foreign and unasked count what came of the questions.
	clean, foreign, unasked atomic.Int64
}

// hearing is an answer, or the wait for one.
type hearing struct {
	*inquiry

	done chan struct{} // closed when by, err and at are set
	at   time.Time
	by   string
	err  error
	// void: somebody else was heard since who uses the address, or wants to. Guarded by verdicts.mu.
	void bool
}

func newVerdicts(a *Agent) *verdicts {
	return &verdicts{Agent: a, all: map[verdictKey]*hearing{}, found: map[string][]time.Time{}}
}

// of is who uses the address, "" if nobody does: as it was heard within verdictLife, or as is heard now.
func (v *verdicts) of(ctx context.Context, q *inquiry) (by string, err error) {
	for {
		current := v.begin(ctx, q)
		select {
		case <-current.done:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		v.mu.Lock()
		void := current.void
		v.mu.Unlock()
		if !void || current.by != "" || current.err != nil {
			return current.by, current.err
		}
		// Somebody was heard while it was silent for the question: asked again, who it is comes out.
	}
}

// begin asks unless an answer is there that is good, or is waited for.
func (v *verdicts) begin(ctx context.Context, q *inquiry) *hearing {
	v.mu.Lock()
	defer v.mu.Unlock()
	if known := v.all[q.verdictKey]; known != nil && v.isGood(known) {
		return known
	}
	asked := &hearing{inquiry: q, done: make(chan struct{})}
	v.all[q.verdictKey] = asked
	// Whoever asked first may hang up: the answer is for all.
	go func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), inquiryLimit)
		defer cancel()
		by, err := v.inquire(bounded, q)
		v.settle(asked, by, err)
	}()
	return asked
}

// isGood tells whether a verdict is waited for, or is a silence that may be believed.
func (v *verdicts) isGood(known *hearing) bool {
	select {
	case <-known.done:
		return known.by == "" && known.err == nil && !known.void && v.clock.Since(known.at) < verdictLife
	default:
		return true
	}
}

func (v *verdicts) settle(asked *hearing, by string, err error) {
	switch {
	case err != nil:
		v.unasked.Add(1)
	case by != "":
		v.foreign.Add(1)
	default:
		v.clean.Add(1)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	asked.by, asked.err, asked.at = by, err, v.clock.Now()
	close(asked.done)
}

// silent notes that the VLAN was asked otherwise, and that nobody answered.
func (v *verdicts) silent(q *inquiry) {
	asked := &hearing{inquiry: q, done: make(chan struct{})}
	v.settle(asked, "", nil)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all[q.verdictKey] = asked
}

// refute has the address asked for again before it is used: somebody with another MAC was heard who uses it or wants to. An
// answer that is good for a minute would otherwise let two in, each of which was silent while the other asked (R-L1).
func (v *verdicts) refute(link string, h wire.Heard) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for key, known := range v.all {
		if key.link == link && known.mac != h.MAC && slices.Contains(known.ips, h.IP) {
			known.void = true
		}
	}
}

// expire forgets what is too old to be used.
func (v *verdicts) expire(context.Context) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for key, known := range v.all {
		if !v.isGood(known) {
			delete(v.all, key)
		}
	}
}

// awaited are the addresses that were asked for and may be about to be used: link -> addresses.
func (v *verdicts) awaited() map[string][]netip.Addr {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := map[string][]netip.Addr{}
	for key, known := range v.all {
		all[key.link] = append(all[key.link], known.ips...)
	}
	return all
}

// inquire asks the VLAN. Who answered is asked for once more after a second or more, since an answer may have been somebody's probe
// who gives up; it takes the silence of two questions to outweigh one answer. What answers with the leased MAC is not asked for again.
func (v *verdicts) inquire(ctx context.Context, q *inquiry) (by string, err error) {
	if q.strict {
		if err := v.awaitGateways(ctx, q); err != nil {
			return "", err
		}
	}
	query := wire.Query{IPs: q.ips, MAC: q.mac, Rounds: probeRounds}
	by, err = v.ask(ctx, q.link, query)
	for silences := 0; err == nil && by != "" && by != q.mac && silences < 2; silences++ {
		if err := v.pause(ctx, confirmAfter+v.jitter(confirmSpread)); err != nil {
			return "", err
		}
		again, err := v.ask(ctx, q.link, query)
		if err != nil || again != "" {
			return again, err
		}
		if silences == 1 {
			by = ""
		}
	}
	return by, err
}

// awaitGateways waits until the link has carrier and each gateway was heard there (R-L5).
func (v *verdicts) awaitGateways(ctx context.Context, q *inquiry) error {
	until := v.clock.Now().Add(carrierWait)
	if len(q.gateways) == 0 {
		// Nobody who must answer: the link's carrier has to do. A question of one round says whether it is there.
		return v.untilUp(ctx, until, func() error {
			_, err := v.ask(ctx, q.link, wire.Query{IPs: q.ips, MAC: q.mac, Rounds: 1, Question: true})
			return err
		})
	}
	for _, gateway := range q.gateways {
		var by string
		heard := v.clock.Now().Add(gatewayWait)
		for by == "" {
			err := v.untilUp(ctx, until, func() (err error) {
				by, err = v.ask(ctx, q.link, wire.Query{IPs: []netip.Addr{gateway}, MAC: q.mac, Rounds: probeRounds, Question: true})
				return err
			})
			if err != nil {
				return err
			}
			if by == "" && v.clock.Now().After(heard) {
				return problem.GatewaySilent.New(gateway, q.pool, q.link, v.nodeName)
			}
		}
	}
	return nil
}

// untilUp repeats a question while its link is down.
func (v *verdicts) untilUp(ctx context.Context, until time.Time, ask func() error) error {
	for {
		err := ask()
		if !errors.Is(err, wire.ErrLinkDown) || v.clock.Now().After(until) {
			return err
		}
		if err := v.pause(ctx, carrierPoll); err != nil {
			return err
		}
	}
}

const (
	// maxConflicts in conflictWindow are what a node finds in a pool before it asks for no more (RFC 5227).
	maxConflicts   = 10
	conflictWindow = time.Minute
)

// note counts a stranger that was found in a pool.
func (v *verdicts) note(pool string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.found[pool] = append(v.recent(pool), v.clock.Now())
}

// strangers is how many were found in a pool lately.
func (v *verdicts) strangers(pool string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.recent(pool))
}

func (v *verdicts) recent(pool string) []time.Time {
	return slices.DeleteFunc(v.found[pool], func(at time.Time) bool { return v.clock.Since(at) >= conflictWindow })
}

// answersForAll asks for an address of the subnet at random. If it is answered by the same MAC, that one answers for every address.
// Should it have just this one, another question will show it. Small subnets have too few addresses to ask for.
func (v *verdicts) answersForAll(ctx context.Context, q *inquiry, pool *v1alpha1.MacPool, by string) (netip.Addr, bool) {
	const edges = 16 // both ends, where gateways and such are
	for _, s := range pool.Spec.Subnets {
		cidr, err := netip.ParsePrefix(string(s.CIDR))
		if err != nil || cidr.Addr().BitLen()-cidr.Bits() < 5 {
			continue
		}
		bits := min(cidr.Addr().BitLen()-cidr.Bits(), 24)
		control := addressAt(cidr, edges/2+rand.N(uint32(1)<<bits-edges))
		if slices.Contains(q.ips, control) || control == gatewayOf(s) {
			continue
		}
		heard, err := v.ask(ctx, q.link, wire.Query{IPs: []netip.Addr{control}, MAC: q.mac, Rounds: probeRounds, Question: true})
		if err == nil && heard == by {
			return control, true
		}
	}
	return netip.Addr{}, false
}

// addressAt is the address of a network with this offset.
func addressAt(cidr netip.Prefix, offset uint32) netip.Addr {
	bytes := cidr.Masked().Addr().AsSlice()
	for i := len(bytes) - 1; offset > 0; i-- {
		bytes[i] |= byte(offset)
		offset >>= 8
	}
	ip, _ := netip.AddrFromSlice(bytes)
	return ip
}
