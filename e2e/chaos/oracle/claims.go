// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"fmt"
	"strings"
)

type claimRecord struct {
	version uint64
	now     Claim
	story   []string
}

// claimLocked is a write to a claim.
func (l *Ledger) claimLocked(e *Event) {
	if e.Verb == "deletecollection" {
		for key := range l.claims {
			if strings.HasPrefix(key, e.Namespace+"/") {
				one := *e
				_, one.Name, _ = strings.Cut(key, "/")
				one.Verb, one.Version = "delete", 0
				l.claimLocked(&one)
			}
		}
		return
	}
	key := e.Namespace + "/" + e.Name
	r := l.claims[key]
	if r == nil {
		r = &claimRecord{}
		l.claims[key] = r
	}
	if e.Verb == seen {
		if e.Version > r.version && (e.Claim != nil || r.now.UID != "") {
			l.stats.Gaps++
			l.holdLocked(key, r.now, Claim{})
			r.now, r.version = Claim{}, e.Version
			if e.Claim != nil {
				r.now = *e.Claim
			}
			l.holdLocked(key, Claim{}, r.now)
		}
		return
	}
	if e.Claim != nil && e.Version < r.version {
		l.stats.Gaps++
		return
	}
	what := "gone"
	if c := e.Claim; c != nil {
		what = fmt.Sprintf("lease %s, holder %.8s on %s, generation %d", c.Lease, c.HolderUID, c.HolderNode, c.Generation)
	}
	r.story = append(r.story, fmt.Sprintf("%s %s by %s: %s", clockTime(e.Completed), e.Verb, e.User, what))
	if len(r.story) > 24 {
		r.story = append(r.story[:0:0], r.story[len(r.story)-16:]...)
	}
	before := r.now
	if before.UID != "" && (e.Before != 0 && e.Before != r.version || e.Verb == "create") {
		l.stats.Gaps++
		before = Claim{}
		l.holdLocked(key, r.now, Claim{})
	}
	r.now = Claim{}
	if e.Claim != nil {
		r.now, r.version = *e.Claim, e.Version
	}
	if before.HolderUID != "" && (r.now.HolderUID != before.HolderUID || r.now.UID != before.UID) {
		if a := l.truth.Covering(before.Lease, before.HolderUID, e.Received, e.Completed); a != nil {
			l.report(Violation{FalseRelease, fmt.Sprintf("claim %s: its holder %s (generation %d) was ended by %s of %s at %s, while %s was attached since %s",
				key, before.HolderUID, before.Generation, e.Verb, e.User, clockTime(e.Completed), a, clockTime(a.From))})
		}
	}
	l.holdLocked(key, before, r.now)
	if r.now.UID == "" {
		delete(l.claims, key)
	}
}

// holdLocked keeps which claims have a holder for a lease.
func (l *Ledger) holdLocked(key string, before, after Claim) {
	if before.HolderUID != "" {
		delete(l.holding[before.Lease], key)
	}
	if after.HolderUID == "" {
		return
	}
	if l.holding[after.Lease] == nil {
		l.holding[after.Lease] = map[string]struct{}{}
	}
	l.holding[after.Lease][key] = struct{}{}
	if len(l.holding[after.Lease]) > 1 {
		l.report(Violation{Duplicate, fmt.Sprintf("lease %s has holders in claims %v (I1)", after.Lease, l.holding[after.Lease])})
	}
}
