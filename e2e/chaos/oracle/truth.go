// SPDX-License-Identifier: Apache-2.0

// Package oracle judges a run by what its driver has done and by the API server's audit log, and by nothing that macpool says of
// itself: which sandboxes could send frames with which address, at every moment; who owned which address by the writes of the
// log; and whether the answers that callers got fit one order of events.
package oracle

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Kind is what a violation is counted as.
type Kind string

const (
	// Duplicate : two owners of an address or a MAC at one time (I1).
	Duplicate Kind = "duplicate"
	// FalseRelease : an address was given back, or its holder cleared, while its interface could send (I2).
	FalseRelease Kind = "false release"
	// LostLease : what a running pod has is not what the API says, or has changed (I3, I4).
	LostLease Kind = "lost lease"
	// Orphan : something is left for nobody (I5).
	Orphan Kind = "orphan"
	// Early : an address was given to another owner before its quarantine ended (I6).
	Early Kind = "quarantine cut short"
	// Broken : the history has no order.
	Broken Kind = "not linearizable"
)

// Violation is one thing that must not be.
type Violation struct {
	Kind Kind
	Text string
}

// Attachment is an interface that could send frames with an address, from the answer to its ADD until its sandbox went.
type Attachment struct {
	Container string
	Node      string
	// Pod is namespace/name, Identity that of the claim.
	Pod, PodUID, Identity string
	Lease, MAC            string
	IPs                   []string
	// From is when the ADD was answered, To when the sandbox began to go; zero while it is there.
	From, To time.Time
}

func (a *Attachment) String() string {
	return fmt.Sprintf("%s (container %.8s, uid %.8s) on %s", a.Pod, a.Container, a.PodUID, a.Node)
}

// covers tells whether it was there from before since until after until.
func (a *Attachment) covers(since, until time.Time) bool {
	return a.From.Before(since) && (a.To.IsZero() || a.To.After(until))
}

// Truth is what is attached. Safe for concurrent use; make one with NewTruth.
type Truth struct {
	report func(Violation)

	mu       sync.Mutex
	attached map[string]*Attachment   // container -> attachment
	byKey    map[string][]*Attachment // an IP or a MAC -> what is attached with it
	past     map[string][]*Attachment // lease -> attachments, the latest last
	pinned   map[string]string        // identity -> the lease that it must keep
	loose    bool                     // the API has forgotten; what no node has attached when it reports is not made again
}

// NewTruth reports violations to report as they happen.
func NewTruth(report func(Violation)) *Truth {
	return &Truth{
		report: report, attached: map[string]*Attachment{}, byKey: map[string][]*Attachment{}, past: map[string][]*Attachment{},
		pinned: map[string]string{},
	}
}

// Attach notes that an ADD was answered. Two sandboxes of one pod may overlap: a runtime that could not end the first one made
// the second.
func (t *Truth) Attach(a Attachment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range append([]string{a.MAC}, a.IPs...) {
		for _, other := range t.byKey[key] {
			if other.PodUID != a.PodUID {
				t.report(Violation{Duplicate, fmt.Sprintf("%s was given to %s at %s, and %s has it since %s",
					key, &a, clockTime(a.From), other, clockTime(other.From))})
			}
		}
		t.byKey[key] = append(t.byKey[key], &a)
	}
	if lease := t.pinned[a.Identity]; lease != "" && lease != a.Lease {
		t.report(Violation{LostLease, fmt.Sprintf("%s got %s, its identity had %s (I4)", &a, a.Lease, lease)})
	}
	t.pinned[a.Identity] = a.Lease
	t.attached[a.Container] = &a
	t.past[a.Lease] = append(t.past[a.Lease], &a)
}

// Detach notes that a sandbox begins to go: its interface is down before anything is told. Unknown ones are ignored. It returns the
// attachment if its identity may have another address next time.
func (t *Truth) Detach(container string, now time.Time) *Attachment {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.attached[container]
	if a == nil {
		return nil
	}
	a.To = now
	t.dropLocked(a)
	if !t.loose {
		return nil
	}
	for _, other := range t.past[a.Lease] {
		if other.Identity == a.Identity && t.attached[other.Container] == other {
			return nil // another sandbox of the same pod keeps the address
		}
	}
	delete(t.pinned, a.Identity)
	ended := *a
	return &ended
}

// Loose tells whether what ends now may have another address next time.
func (t *Truth) Loose(loose bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loose = loose
}

func (t *Truth) dropLocked(a *Attachment) {
	delete(t.attached, a.Container)
	for _, key := range append([]string{a.MAC}, a.IPs...) {
		t.byKey[key] = slices.DeleteFunc(t.byKey[key], func(other *Attachment) bool { return other == a })
		if len(t.byKey[key]) == 0 {
			delete(t.byKey, key)
		}
	}
}

// Excuse takes a sandbox out of the account, although it may still send: whoever chose so has accepted that.
func (t *Truth) Excuse(container string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.attached[container]
	if a == nil {
		return
	}
	t.dropLocked(a)
	t.past[a.Lease] = slices.DeleteFunc(t.past[a.Lease], func(other *Attachment) bool { return other == a })
}

// Unpin lets an identity have another address next time: it has ended, or the API server has forgotten it.
func (t *Truth) Unpin(identity string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.pinned, identity)
}

// UnpinAll does so for all that is not attached.
func (t *Truth) UnpinAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.pinned)
	for _, a := range t.attached {
		t.pinned[a.Identity] = a.Lease
	}
}

// Attached is what is attached now.
func (t *Truth) Attached() []Attachment {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Attachment, 0, len(t.attached))
	for _, a := range t.attached {
		all = append(all, *a)
	}
	return all
}

// Covering is an attachment with the lease that was there all the time from since to until, of this pod if a UID is given; nil if
// there was none.
func (t *Truth) Covering(lease, podUID string, since, until time.Time) *Attachment {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.past[lease] {
		if (podUID == "" || a.PodUID == podUID) && a.covers(since, until) {
			found := *a
			return &found
		}
	}
	return nil
}

// Forget drops what ended before then.
func (t *Truth) Forget(then time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for lease, all := range t.past {
		all = slices.DeleteFunc(all, func(a *Attachment) bool { return !a.To.IsZero() && a.To.Before(then) })
		if t.past[lease] = all; len(all) == 0 {
			delete(t.past, lease)
		}
	}
}

func clockTime(t time.Time) string { return t.Format("15:04:05.000000") }
