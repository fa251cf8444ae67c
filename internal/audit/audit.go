// SPDX-License-Identifier: Apache-2.0

// Package audit writes down who got and lost an address, one JSON object a line. The lines go where the process's log does not
// (standard output), so that a collector can keep them for as long as the network's rules ask, which is longer than a cluster
// keeps its objects.
package audit

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Event is what happened to an address.
type Event string

const (
	// Leased : a claim got the address.
	Leased Event = "leased"
	// Held : a pod became the claim's holder.
	Held Event = "held"
	// Unheld : it ceased to be.
	Unheld Event = "unheld"
	// Doubted : the API contradicts that the pod holds it there.
	Doubted Event = "doubted"
	// Released : the claim gave the address back, and it cools.
	Released Event = "released"
	// Reusable : its cooldown is over.
	Reusable Event = "reusable"
	// Forgotten : the record was deleted.
	Forgotten Event = "forgotten"
)

// Record is one line. What is empty is left out.
type Record struct {
	Event Event
	Lease string
	Pool  string
	MAC   string
	IPs   []string

	Namespace string
	Claim     string
	ClaimUID  string

	// Holder is the pod, of Held, Unheld and Doubted.
	Holder *v1alpha1.Holder

	Reason   v1alpha1.EndReason
	Evidence string
	// Since is when began what this ends.
	Since time.Time
}

// Log takes records. The zero value drops them; make one that writes with New. Safe for concurrent use.
type Log struct {
	out  *slog.Logger
	told []func(Record)
}

// New writes to w, one Write a line.
func New(w io.Writer) *Log {
	return &Log{out: slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: noLevel}))}
}

// With is l, or a log that writes nothing if it is nil, of which somebody else is told each record too.
func (l *Log) With(tell func(Record)) *Log {
	if l == nil {
		l = &Log{}
	}
	return &Log{out: l.out, told: append(slices.Clone(l.told), tell)}
}

// noLevel: a fact has none.
func noLevel(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey {
		return slog.Attr{}
	}
	return a
}

// Write writes a record, dated now. A nil Log drops it.
func (l *Log) Write(ctx context.Context, r Record) {
	if l == nil {
		return
	}
	for _, tell := range l.told {
		tell(r)
	}
	if l.out == nil {
		return
	}
	var attrs []slog.Attr
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add("event", string(r.Event))
	add("lease", r.Lease)
	add("pool", r.Pool)
	add("mac", r.MAC)
	if len(r.IPs) > 0 {
		attrs = append(attrs, slog.Any("ips", r.IPs))
	}
	add("namespace", r.Namespace)
	add("claim", r.Claim)
	add("claimUID", r.ClaimUID)
	if h := r.Holder; h != nil {
		add("pod", h.PodName)
		add("podUID", string(h.PodUID))
		add("node", h.NodeName)
		add("interface", h.Interface)
		attrs = append(attrs, slog.Int64("generation", h.Generation))
	}
	add("reason", string(r.Reason))
	add("evidence", r.Evidence)
	if !r.Since.IsZero() {
		attrs = append(attrs, slog.Time("since", r.Since))
	}
	l.out.LogAttrs(ctx, slog.LevelInfo, "audit", attrs...)
}

// OfLease is a record about a lease and its claim.
func OfLease(event Event, lease *v1alpha1.MacLease) Record {
	r := Record{
		Event: event, Lease: lease.Name, Pool: lease.Spec.PoolName, MAC: string(lease.Spec.MAC),
		Namespace: lease.Spec.ClaimRef.Namespace, Claim: lease.Spec.ClaimRef.Name, ClaimUID: string(lease.Spec.ClaimRef.UID),
	}
	for _, ip := range lease.Spec.IPs {
		r.IPs = append(r.IPs, string(ip))
	}
	return r
}

// OfHolder is a record about a claim's holder.
func OfHolder(event Event, claim *v1alpha1.MacClaim, holder *v1alpha1.Holder) Record {
	return Record{
		Event: event, Lease: claim.Status.LeaseName, Pool: claim.Spec.PoolRef.Name, MAC: claim.Status.MAC, IPs: claim.Status.IPs,
		Namespace: claim.Namespace, Claim: claim.Name, ClaimUID: string(claim.UID), Holder: holder,
	}
}
