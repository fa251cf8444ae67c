// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Grade says how much is known of a tenure.
type Grade string

const (
	// Held : this pod had the address.
	Held Grade = "Held"

	// Unheld : the claim had the address, and no pod.
	Unheld Grade = "Unheld"

	// ClaimOnly : the claim had the address. Which of its pods did, and when, is not recorded any more: but for the last one, if there is
	// a name.
	ClaimOnly Grade = "ClaimOnly"
)

// Tenure is a time with an address.
type Tenure struct {
	Grade     Grade  `json:"grade"`
	Namespace string `json:"namespace"`
	Claim     string `json:"claim"`

	PodName   string    `json:"podName,omitempty"`
	PodUID    types.UID `json:"podUID,omitempty"`
	NodeName  string    `json:"nodeName,omitempty"`
	Interface string    `json:"interface,omitempty"`

	// From and To are in whole seconds, as the API has them: what was shorter than that may have no length. To is zero if it lasts.
	From time.Time `json:"from"`
	To   time.Time `json:"to,omitzero"`

	// Reason and Evidence are why it ended.
	Reason   v1alpha1.EndReason `json:"reason,omitempty"`
	Evidence string             `json:"evidence,omitempty"`
}

// Lasts tells whether it has not ended.
func (t Tenure) Lasts() bool { return t.To.IsZero() }

// covers tells whether at lies in it. The end belongs to what comes then.
func (t Tenure) covers(at time.Time) bool {
	return !at.Before(t.From) && (t.Lasts() || at.Before(t.To))
}

// Tenures are all that is recorded of who had the address, newest first. Nothing is said twice: where the pods of a claim are known they stand
// for the claim, and the rest of its time is Unheld or ClaimOnly.
func (s *Snapshot) Tenures(a Address) []Tenure {
	var all []Tenure
	for _, span := range spansOf(a.Lease) {
		all = append(all, s.divide(span)...)
	}
	slices.SortStableFunc(all, func(a, b Tenure) int {
		return cmp.Or(b.From.Compare(a.From), compareEnds(b, a))
	})
	return all
}

// compareEnds puts what lasts behind what does not.
func compareEnds(a, b Tenure) int {
	switch {
	case a.Lasts() == b.Lasts():
		return a.To.Compare(b.To)
	case a.Lasts():
		return 1
	}
	return -1
}

// span is a claim's time with a lease. Its grade is ClaimOnly.
type span struct {
	Tenure

	// uid is the claim's, if it is known: the lease's history has no UIDs.
	uid types.UID
}

// spansOf are the claims of a lease, newest first: the one that has it, and those of the history. Of a lease that is released the last one
// stands in the history already.
func spansOf(l *v1alpha1.MacLease) []span {
	if l == nil {
		return nil
	}
	var spans []span
	if l.Spec.ReleasedAt == nil {
		spans = append(spans, span{uid: l.Spec.ClaimRef.UID, Tenure: Tenure{
			Grade: ClaimOnly, Namespace: l.Spec.ClaimRef.Namespace, Claim: l.Spec.ClaimRef.Name,
			PodName: l.Spec.PodName, NodeName: l.Spec.NodeName, From: l.Spec.LeasedAt.Time,
		}})
	}
	for i, h := range l.Spec.History {
		past := span{Tenure: Tenure{
			Grade: ClaimOnly, Namespace: h.Namespace, Claim: h.Claim, PodName: h.PodName, NodeName: h.NodeName,
			From: h.From.Time, To: h.To.Time, Reason: h.Reason, Evidence: h.Evidence,
		}}
		if i == 0 && l.Spec.ReleasedAt != nil && h.To.Equal(l.Spec.ReleasedAt) {
			past.uid = l.Spec.ClaimRef.UID
		}
		spans = append(spans, past)
	}
	return spans
}

// divide is a claim's time as far as the claim knows which of its pods had it. A claim has one address at a time, and keeps it while a pod
// holds it, so the holds that meet the span are holds of its address.
func (s *Snapshot) divide(whole span) []Tenure {
	claim := s.Claim(whole.Namespace, whole.Claim)
	if claim == nil || whole.uid != "" && whole.uid != claim.UID {
		return []Tenure{whole.known()}
	}
	var holds []Tenure
	oldest := int64(0)
	for _, h := range holdsOf(claim) {
		oldest = h.generation
		if meets(h.Tenure, whole.Tenure) {
			holds = append(holds, h.Tenure)
		} else if h.From.Before(whole.From) {
			oldest = 0 // and so what came later is known
			break
		}
	}
	// A claim that was made again under its name knows nothing of the one before.
	same := whole.uid == claim.UID || whole.Reason != v1alpha1.EndSucceeded && !claim.CreationTimestamp.After(whole.From)
	complete := oldest <= 1 && same // every pod of the claim's time with the address is among holds
	if len(holds) == 0 && !complete {
		return []Tenure{whole.known()}
	}
	return fill(whole.Tenure, holds, complete)
}

// known is what a span says by itself. One without any pod was nobody's but the claim's.
func (s span) known() Tenure {
	t := s.Tenure
	if t.PodName == "" && !t.Lasts() {
		t.Grade = Unheld
	}
	return t
}

// hold is a pod's time with a claim.
type hold struct {
	Tenure

	generation int64
}

// holdsOf are the pods of a claim, newest first.
func holdsOf(c *v1alpha1.MacClaim) []hold {
	base := Tenure{Grade: Held, Namespace: c.Namespace, Claim: c.Name}
	if c.Spec.Workload != nil {
		base.Interface = c.Spec.Workload.Interface
	}
	var holds []hold
	for _, h := range []*v1alpha1.Holder{c.Status.Alternate, c.Status.Holder} {
		if h == nil {
			continue
		}
		t := base
		t.PodName, t.PodUID, t.NodeName, t.Interface, t.From = h.PodName, h.PodUID, h.NodeName, h.Interface, h.Since.Time
		holds = append(holds, hold{t, h.Generation})
	}
	for _, h := range c.Status.PreviousHolders {
		t := base
		t.PodName, t.PodUID, t.NodeName, t.From, t.To = h.PodName, h.PodUID, h.NodeName, h.Since.Time, h.Until.Time
		t.Reason, t.Evidence = h.Reason, h.Evidence
		holds = append(holds, hold{t, h.Generation})
	}
	slices.SortStableFunc(holds, func(a, b hold) int { return cmp.Or(b.From.Compare(a.From), cmp.Compare(b.generation, a.generation)) })
	return holds
}

// meets tells whether a hold lies in a span, or reaches into it. What lasts is with the address that the claim has now.
func meets(h, whole Tenure) bool {
	if h.Lasts() {
		return whole.Lasts()
	}
	begins := whole.Lasts() || h.From.Before(whole.To) || h.From.Equal(whole.To) && h.From.Equal(h.To)
	ends := h.To.After(whole.From) || h.To.Equal(whole.From) && h.From.Equal(h.To)
	return begins && ends
}

// fill is the span with its holds, newest first, and something in the place of what they leave of it. If they are not all of the claim's, what
// is before the oldest is ClaimOnly.
func fill(whole Tenure, holds []Tenure, complete bool) []Tenure {
	var all []Tenure
	left := whole.To // what lies before it is not told yet; zero is the end of time
	gap := func(from time.Time, grade Grade) {
		if left.IsZero() || from.Before(left) {
			t := Tenure{Grade: grade, Namespace: whole.Namespace, Claim: whole.Claim, From: from, To: left}
			if len(all) == 0 {
				t.Reason, t.Evidence = whole.Reason, whole.Evidence
			}
			all = append(all, t)
		}
	}
	for _, h := range holds {
		if !h.Lasts() {
			gap(h.To, Unheld)
		}
		all = append(all, h)
		if left.IsZero() || h.From.Before(left) {
			left = h.From
		}
	}
	if complete {
		gap(whole.From, Unheld)
	} else {
		gap(whole.From, ClaimOnly)
	}
	return all
}

// ClaimAt is the claim that had a lease at a time, by what the lease alone says; false if none had.
func ClaimAt(l *v1alpha1.MacLease, at time.Time) (Tenure, bool) {
	for _, span := range spansOf(l) {
		if span.covers(at) {
			return span.Tenure, true
		}
	}
	return Tenure{}, false
}
