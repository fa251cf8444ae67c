// SPDX-License-Identifier: Apache-2.0

package who

import (
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/ledger"
)

// answer is what is known of the addresses that were asked for.
type answer struct {
	Query     string    `json:"query"`
	At        time.Time `json:"at"`
	Addresses []address `json:"addresses"`

	f   *cli.Factory
	now bool
}

// address is what is known of one of them.
type address struct {
	Segment string   `json:"segment"`
	Pool    string   `json:"pool,omitempty"`
	Lease   string   `json:"lease,omitempty"`
	MAC     string   `json:"mac"`
	IPs     []string `json:"ips,omitempty"`

	State ledger.State `json:"state"`
	// Since and Until are those of a cooldown or a conflict.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Holders are who had it at the time that was asked for.
	Holders []ledger.Tenure `json:"holders"`
	// Workload is what the claim of the holders is for, if it is still there.
	Workload *v1alpha1.Workload `json:"workload,omitempty"`
	Conflict *v1alpha1.Conflict `json:"conflict,omitempty"`
	// ReservedFor is namespace/name of a claim.
	ReservedFor string `json:"reservedFor,omitempty"`
	// Why is what an excluded address is.
	Why string `json:"why,omitempty"`

	// History are all tenures that are recorded, newest first, and RecordedSince is since when none is missing.
	History       []ledger.Tenure `json:"history"`
	RecordedSince time.Time       `json:"recordedSince"`

	ranges string
}

// newAnswer is what is known of addresses at a time; zero is now.
func newAnswer(f *cli.Factory, s *ledger.Snapshot, q ledger.Query, found []ledger.Address, at time.Time) *answer {
	now := at.IsZero()
	if now {
		at = s.Time
	}
	a := &answer{Query: q.String(), At: at.UTC().Truncate(time.Second), f: f, now: now}
	for _, known := range found {
		a.Addresses = append(a.Addresses, tell(s, known, at))
	}
	return a
}

func tell(s *ledger.Snapshot, known ledger.Address, at time.Time) address {
	m := s.At(known, at)
	a := address{
		Segment: known.Name.Segment, MAC: known.MAC.String(), State: m.State, Since: m.Since, Until: m.Until,
		Holders: nonNil(m.Tenures), History: nonNil(s.Tenures(known)), RecordedSince: s.Reach(known), Why: known.Verdict.Why,
	}
	for _, ip := range known.IPs {
		a.IPs = append(a.IPs, ip.String())
	}
	if known.Pool != nil {
		a.Pool = known.Pool.Name
		if known.Pool.Plan != nil {
			a.ranges = known.Pool.Plan.Ranges()
		}
	}
	if known.Lease != nil {
		a.Lease = known.Lease.Name
		if !m.Since.IsZero() && m.State != ledger.Cooling {
			a.Conflict = known.Lease.Spec.Conflict
		}
	}
	if id := known.Verdict.Claim; known.Verdict.Class == allocator.Reserved && id != (allocator.Identity{}) {
		a.ReservedFor = id.Namespace + "/" + id.Name
	}
	for _, t := range m.Tenures {
		if claim := s.Claim(t.Namespace, t.Claim); claim != nil && claim.Spec.Workload != nil {
			a.Workload = claim.Spec.Workload
		}
	}
	return a
}

// nonNil is written as a list, if an empty one.
func nonNil(tenures []ledger.Tenure) []ledger.Tenure {
	if tenures == nil {
		return []ledger.Tenure{}
	}
	return tenures
}

// Names are the leases.
func (a *answer) Names() []string {
	var names []string
	for _, address := range a.Addresses {
		if address.Lease != "" {
			names = append(names, "maclease.macpool.dev/"+address.Lease)
		}
	}
	return names
}
