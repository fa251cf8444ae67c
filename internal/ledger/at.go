// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
)

// State is where an address is in its life, or what keeps it from having one.
type State string

const (
	// Free : any claim may get it, and nobody had it for as long as the record goes back.
	Free State = "free"
	// Reusable : any claim may get it, and there is a record of who had it.
	Reusable State = "reusable"
	// Leased : a claim has it.
	Leased State = "leased"
	// Cooling : it was given back, and is only for whoever had it until its cooldown has passed.
	Cooling State = "cooling"
	// Conflicted : a stranger uses it.
	Conflicted State = "conflicted"
	// OnRequest : a claim that asks for it may get it, from a range that is explicitOnly.
	OnRequest State = "onRequest"
	// Reserved : the claim of its reservation may get it, or nobody.
	Reserved State = "reserved"
	// Excluded : nobody may have it: the pool excludes it, or it is the gateway's, or the network's.
	Excluded State = "excluded"
	// OutOfRange : a claim has it, and the pool would not lease it again since it was edited.
	OutOfRange State = "outOfRange"
	// Outside : it lies in no range of the pool.
	Outside State = "outside"
	// Unknown : the record does not go back so far.
	Unknown State = "unknown"
)

// States are all of them, in the order in which they are told.
func States() []State {
	return []State{Leased, OutOfRange, Conflicted, Cooling, Reusable, Free, OnRequest, Reserved, Excluded, Outside, Unknown}
}

// Moment is what is known of an address at a time.
type Moment struct {
	State State
	// Tenures are who had it then: one, or both pods of a VM that migrated.
	Tenures []Tenure
	// Since and Until are when a State that is not a tenure's began and ends, where that is known: a cooldown, a conflict. Until is only
	// expected if it has not passed: the manager measures the time by its own clock.
	Since, Until time.Time
}

// At is what is known of an address at a time, which is not later than the snapshot's. What the pool leases is not recorded, so it is
// judged by its present spec, and of strangers only the present one is known.
func (s *Snapshot) At(a Address, at time.Time) Moment {
	var m Moment
	for _, t := range s.Tenures(a) {
		if t.covers(at) {
			m.Tenures = append(m.Tenures, t)
		}
	}
	m.State, m.Since, m.Until = s.recorded(a.Lease, a.Pool, at)
	if len(m.Tenures) > 0 && m.State != Conflicted { // a hold may be older than a lease that was made again
		m.State, m.Since, m.Until = Leased, time.Time{}, time.Time{}
	}
	if a.Pool != nil && (m.State != Unknown || !isLeasable(a.Verdict)) {
		m.State = judge(a.Verdict, m.State)
	}
	return m
}

// Reach is since when the record of an address says all. What was before may be missing: a lease remembers its last claims, and is
// deleted when it has been released for as long as the pool's history is.
func (s *Snapshot) Reach(a Address) time.Time { return s.reach(a.Lease, a.Pool) }

func (s *Snapshot) reach(l *v1alpha1.MacLease, p *Pool) time.Time {
	since := s.Time.Add(-binding.History(p.object()))
	spans := spansOf(l)
	if len(spans) == 0 {
		return since
	}
	first := spans[len(spans)-1].From
	if len(l.Spec.History) == v1alpha1.MaxLeaseHistory || first.Before(since) {
		return first
	}
	return since
}

// recorded is the state by the record alone, and the known ends of one that is not Leased. A cooldown of the past is reckoned by the present
// cooldown of the pool, unless it is the last one.
func (s *Snapshot) recorded(l *v1alpha1.MacLease, p *Pool, at time.Time) (state State, since, until time.Time) {
	if l == nil {
		if at.Before(s.reach(nil, p)) {
			return Unknown, time.Time{}, time.Time{}
		}
		return Free, time.Time{}, time.Time{}
	}
	if c := l.Spec.Conflict; c != nil && !at.Before(c.SeenAt.Time) {
		return Conflicted, c.SeenAt.Time, time.Time{}
	}
	for i, span := range spansOf(l) {
		switch {
		case span.covers(at):
			return Leased, time.Time{}, time.Time{}
		case at.Before(span.From):
			continue
		}
		since, until = span.To, span.To.Add(binding.Cooldown(p.object(), span.Reason))
		cooling := at.Before(until)
		if i == 0 { // the last one: it is written down whether it has ended
			if ends := l.Spec.ReusableAt; ends != nil {
				until, cooling = ends.Time, at.Before(ends.Time)
			} else {
				cooling = true
			}
		}
		if cooling {
			return Cooling, since, until
		}
		return Reusable, until, time.Time{}
	}
	if at.Before(s.reach(l, p)) {
		return Unknown, time.Time{}, time.Time{}
	}
	return Free, time.Time{}, time.Time{}
}

// judge is the state by the record and by what the pool says of the address.
func judge(v allocator.Verdict, recorded State) State {
	held := recorded == Leased || recorded == Conflicted
	switch {
	case held && !isLeasable(v):
		return OutOfRange
	case held, recorded == Cooling && isLeasable(v), v.Class == allocator.Dynamic:
		return recorded
	case v.Class == allocator.Explicit:
		return OnRequest
	case v.Class == allocator.Reserved:
		return Reserved
	case v.Class == allocator.Excluded:
		return Excluded
	}
	return Outside
}

// isLeasable tells whether somebody may lease what has this verdict.
func isLeasable(v allocator.Verdict) bool {
	return v.Class == allocator.Dynamic || v.Class == allocator.Explicit || v.Class == allocator.Reserved && v.Claim != allocator.Identity{}
}
