// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// settle is how long after a write was done the log may still get one that was done before it.
const settle = 2 * time.Second

// Ledger rebuilds from the audit log alone who owned which address, and holds it against what was attached. The log's times
// are those of the machine: a write was done at some moment between its two. Safe for concurrent use; make one with NewLedger.
//
// A write that is not in the log, since the API server was killed between commit and log, shows as a gap: the next one was made on
// a version that the log has not. It is counted.
type Ledger struct {
	truth    *Truth
	report   func(Violation)
	cooldown func(pool string) time.Duration
	// released is called for each release: of which lease, by whose loss, not before which time.
	released func(lease, identity string, at time.Time)

	mu      sync.Mutex
	waiting []*Event
	expects []expectation
	leases  map[string]*leaseRecord
	claims  map[string]*claimRecord        // namespace/name -> claim
	owners  map[string]string              // segment and IP or MAC -> lease
	holding map[string]map[string]struct{} // lease -> the claims that have a holder for it
	stats   Stats
}

// Stats are what a Ledger has seen.
type Stats struct {
	// Writes are those of the log, Gaps what is missing in it, Leases how often an address was given out, Releases back.
	Writes, Gaps, Leases, Releases int64
}

// leaseRecord is a lease as the log has it.
type leaseRecord struct {
	version uint64
	now     *Lease // nil: there is none
	// releasedAt is the earliest time of the last release, lastOwner whose it was.
	releasedAt time.Time
	lastOwner  string
	// stamp is the releasedAt that the last release wrote.
	stamp string
	past  []leaseState
}

// leaseState is a state that the lease was in, since some moment between first and certain.
type leaseState struct {
	first, certain time.Time
	owner          string // empty: nobody's
	by             string
}

type expectation struct {
	lease, identity, who string
	at                   time.Time
}

// NewLedger makes a ledger. released may be nil.
func NewLedger(
	truth *Truth, report func(Violation), cooldown func(pool string) time.Duration, released func(lease, identity string, at time.Time),
) *Ledger {
	l := &Ledger{truth: truth, report: report, cooldown: cooldown, released: released}
	l.resetLocked()
	return l
}

// Add takes an event of the log.
func (l *Ledger) Add(e *Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, e)
	l.stats.Writes++
}

// Expect says that an ADD was answered at a time with a lease: the log must know it as that identity's then (I3).
func (l *Ledger) Expect(lease, identity, who string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expects = append(l.expects, expectation{lease, identity, who, at})
}

// Unsure takes back what was expected of a time in which the API was being brought up to what nodes know: what is attached may be attached
// again then, before its lease is there again.
func (l *Ledger) Unsure(from, to time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expects = slices.DeleteFunc(l.expects, func(x expectation) bool { return !x.at.Before(from) && !x.at.After(to) })
}

// Reset forgets all, as when the API server has gone back in time. What is there then comes by Seed.
func (l *Ledger) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resetLocked()
}

func (l *Ledger) resetLocked() {
	l.waiting, l.expects = nil, nil
	l.leases, l.claims = map[string]*leaseRecord{}, map[string]*claimRecord{}
	l.owners, l.holding = map[string]string{}, map[string]map[string]struct{}{}
}

// Listed enters what a list of a kind has shown at a time, with the list's version: after the API server was killed, the log may lack
// what it did last. What the log explains counts for nothing.
func (l *Ledger) Listed(kind string, version uint64, now time.Time, objects []*Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	there := map[string]bool{}
	for _, e := range objects {
		there[e.Namespace+"/"+e.Name] = true
		e.Verb, e.Resource, e.User, e.Received, e.Completed = seen, kind, "somebody", now, now
		l.waiting = append(l.waiting, e)
	}
	known := map[string]bool{}
	for name := range l.leases {
		known["macleases /"+name] = true
	}
	for key := range l.claims {
		known["macclaims "+key] = true
	}
	for _, e := range l.waiting {
		known[e.kind()+" "+e.Namespace+"/"+e.Name] = true
	}
	for key := range known {
		of, key, _ := strings.Cut(key, " ")
		if of != kind || there[key] {
			continue
		}
		namespace, name, _ := strings.Cut(key, "/")
		l.waiting = append(l.waiting, &Event{
			Verb: seen, Resource: kind, Namespace: namespace, Name: name, Version: version, User: "somebody", Received: now, Completed: now,
		})
	}
}

// Story is what the log has of a claim, the latest last.
func (l *Ledger) Story(claim string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.claims[claim]; r != nil {
		return slices.Clone(r.story)
	}
	return nil
}

// Stats is what it has seen so far.
func (l *Ledger) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Advance judges what the log has until shortly before now; all that it has, if now is zero.
func (l *Ledger) Advance(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ready := l.waiting
	until := now.Add(-settle)
	if !now.IsZero() {
		ready = nil
		rest := l.waiting[:0:0]
		for _, e := range l.waiting {
			if e.Completed.Before(until) {
				ready = append(ready, e)
			} else {
				rest = append(rest, e)
			}
		}
		l.waiting = rest
	} else {
		l.waiting = nil
	}
	for _, e := range inOrder(ready) {
		l.applyLocked(e)
	}
	// States are known up to what was applied; an ADD is looked up a little behind that.
	l.expects = slices.DeleteFunc(l.expects, func(x expectation) bool {
		if !now.IsZero() && x.at.After(until.Add(-settle)) {
			return false
		}
		l.lookUpLocked(x)
		return true
	})
}

func (l *Ledger) applyLocked(e *Event) {
	switch e.kind() {
	case "macleases":
		l.leaseLocked(e)
	case "macclaims":
		l.claimLocked(e)
	}
}

// leaseLocked is a write to a lease.
func (l *Ledger) leaseLocked(e *Event) {
	r := l.leases[e.Name]
	if r == nil {
		r = &leaseRecord{}
		l.leases[e.Name] = r
	}
	if e.Verb == seen {
		if e.Version > r.version && (e.Lease != nil || r.now != nil) {
			l.missedLocked(e, r)
		}
		return
	}
	if e.Lease != nil && e.Version < r.version {
		l.stats.Gaps++ // long after its successor
		return
	}
	before := r.now
	if before != nil && e.Before != 0 && e.Before != r.version || before == nil && e.Verb == "update" || before != nil && e.Verb == "create" {
		l.stats.Gaps++
		before = nil
		r.releasedAt, r.lastOwner = time.Time{}, ""
	}
	r.now, r.version = e.Lease, max(r.version, e.Version)
	was, is := ownerOf(before), ownerOf(e.Lease)
	if was != "" && (is == "" || is != was) {
		if a := l.truth.Covering(e.Name, "", e.Received, e.Completed); a != nil {
			l.report(Violation{FalseRelease, fmt.Sprintf("lease %s of %s: %s at %s by %s, while %s had it since %s",
				e.Name, was, e.Verb, clockTime(e.Completed), e.User, a, clockTime(a.From))})
		}
		if is != "" {
			l.report(Violation{Duplicate, fmt.Sprintf("lease %s went from %s to %s at %s by %s, without a release (I1)",
				e.Name, was, is, clockTime(e.Completed), e.User)})
		}
	}
	switch {
	case was != "" && is == "" && e.Lease != nil && e.Lease.At == r.stamp:
		// A bind that came to nothing has put back the record that it took: released when it was, and cooled since.
	case was != "" && is == "" && e.Lease != nil:
		l.stats.Releases++
		r.releasedAt, r.lastOwner, r.stamp = e.Received, was, e.Lease.At
		if l.released != nil {
			l.released(e.Name, was, e.Completed)
		}
	case is != "" && is != was:
		l.stats.Leases++
		l.givenLocked(e, r, is)
		if before != nil && before.Released {
			r.stamp = before.At
		}
	}
	l.ownLocked(e.Name, before, e.Lease)
	r.past = append(r.past, leaseState{first: e.Received, certain: e.Completed, owner: is, by: e.Verb + " by " + e.User})
	if len(r.past) > 16 {
		r.past = append(r.past[:0:0], r.past[len(r.past)-8:]...)
	}
}

// missedLocked is a lease that has changed without a word in the log, some time after it was last there.
func (l *Ledger) missedLocked(e *Event, r *leaseRecord) {
	l.stats.Gaps++
	var since time.Time
	if n := len(r.past); n > 0 {
		since = r.past[n-1].certain
	}
	l.ownLocked(e.Name, r.now, e.Lease)
	r.now, r.version, r.releasedAt, r.lastOwner = e.Lease, e.Version, time.Time{}, ""
	r.past = append(r.past, leaseState{first: since, certain: e.Completed, owner: ownerOf(e.Lease), by: "seen in a list"})
}

// givenLocked is the lease's way to a new owner (I6).
func (l *Ledger) givenLocked(e *Event, r *leaseRecord, owner string) {
	if r.lastOwner == "" || r.lastOwner == owner || r.releasedAt.IsZero() {
		return
	}
	if cooled := e.Completed.Sub(r.releasedAt); cooled < l.cooldown(e.Lease.Pool) {
		l.report(Violation{Early, fmt.Sprintf("lease %s, released by %s at %s, was given to %s at %s by %s, after %s (I6)",
			e.Name, r.lastOwner, clockTime(r.releasedAt), owner, clockTime(e.Completed), e.User, cooled)})
	}
}

// ownLocked keeps which lease has an IP or a MAC (I1).
func (l *Ledger) ownLocked(name string, before, after *Lease) {
	segment, _, _ := strings.Cut(name, ".")
	keys := func(lease *Lease) []string {
		if ownerOf(lease) == "" {
			return nil
		}
		return append([]string{lease.MAC}, lease.IPs...)
	}
	for _, key := range keys(before) {
		if l.owners[segment+" "+key] == name {
			delete(l.owners, segment+" "+key)
		}
	}
	for _, key := range keys(after) {
		if other := l.owners[segment+" "+key]; other != "" && other != name {
			l.report(Violation{Duplicate, fmt.Sprintf("leases %s and %s both have %s (I1)", other, name, key)})
		}
		l.owners[segment+" "+key] = name
	}
}

// lookUpLocked is the end of Expect.
func (l *Ledger) lookUpLocked(x expectation) {
	r := l.leases[x.lease]
	if r == nil {
		l.report(Violation{LostLease, fmt.Sprintf("%s was answered with %s at %s; the log has no such lease (I3)", x.who, x.lease, clockTime(x.at))})
		return
	}
	var saw []string
	for i, s := range r.past {
		gone := i+1 < len(r.past) && r.past[i+1].certain.Before(x.at)
		if s.first.After(x.at) || gone {
			continue
		}
		if s.owner == x.identity {
			return
		}
		saw = append(saw, fmt.Sprintf("%q since %s, %s", s.owner, clockTime(s.certain), s.by))
	}
	if len(r.past) > 0 && r.past[0].first.After(x.at) {
		return // longer ago than is remembered
	}
	l.report(Violation{LostLease, fmt.Sprintf("%s was answered with %s for %s at %s; by the log it was %v (I3)",
		x.who, x.lease, x.identity, clockTime(x.at), saw)})
}

func ownerOf(lease *Lease) string {
	if lease == nil || lease.Released {
		return ""
	}
	return lease.Identity
}
