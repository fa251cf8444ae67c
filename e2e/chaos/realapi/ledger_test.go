// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"bufio"
	"strconv"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/chaos/oracle"
)

// readAudit feeds the log to the ledger as it comes.
func (w *world) readAudit() {
	lines := bufio.NewReaderSize(w.plane.auditOut, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		e, err := oracle.ParseEvent(line)
		if err == nil && e != nil {
			w.ledger.Add(e)
		}
		// A line that was cut off is that of an API server that was killed: it counts as missing.
	}
}

// fillGaps lists what there is each time that the API server was started again: what it did last may be missing in its log.
func (w *world) fillGaps() {
	for known := int64(0); w.pause(100 * time.Millisecond); {
		starts := w.starts.Load()
		if starts == known && w.api.alive() {
			continue
		}
		w.blind.Store(true)
		if !w.api.alive() || w.plane.awaitAPI(w.ctx) != nil || w.list() != nil {
			continue
		}
		known = starts
		w.blind.Store(false)
	}
}

// list shows the ledger what there is.
func (w *world) list() error {
	var leases v1alpha1.MacLeaseList
	var claims v1alpha1.MacClaimList
	for _, list := range []client.ObjectList{&leases, &claims} {
		if err := w.admin.List(w.ctx, list); err != nil {
			return err
		}
	}
	now := w.clock.Now()
	version := func(text string) uint64 {
		n, _ := strconv.ParseUint(text, 10, 64)
		return n
	}
	var events []*oracle.Event
	for i := range leases.Items {
		l := &leases.Items[i]
		o := &oracle.Lease{
			UID: string(l.UID), Pool: l.Spec.PoolName, MAC: string(l.Spec.MAC), Identity: l.Spec.ClaimRef.Namespace + "/" + l.Spec.ClaimRef.Name,
			ClaimUID: string(l.Spec.ClaimRef.UID), Released: l.Spec.ReleasedAt != nil, Reusable: l.Spec.ReusableAt != nil,
		}
		if l.Spec.ReleasedAt != nil {
			o.At = l.Spec.ReleasedAt.UTC().Format(time.RFC3339) // as it is in the log
		}
		for _, ip := range l.Spec.IPs {
			o.IPs = append(o.IPs, string(ip))
		}
		events = append(events, &oracle.Event{Name: l.Name, Version: version(l.ResourceVersion), Lease: o})
	}
	w.ledger.Listed("macleases", version(leases.ResourceVersion), now, events)
	events = nil
	for i := range claims.Items {
		c := &claims.Items[i]
		o := &oracle.Claim{UID: string(c.UID), Lease: c.Status.LeaseName}
		if h := c.Status.Holder; h != nil {
			o.HolderUID, o.HolderNode, o.Generation = string(h.PodUID), h.NodeName, h.Generation
		}
		events = append(events, &oracle.Event{Namespace: c.Namespace, Name: c.Name, Version: version(c.ResourceVersion), Claim: o})
	}
	w.ledger.Listed("macclaims", version(claims.ResourceVersion), now, events)
	return nil
}
