// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// leaseTable follows the leases. Each release, and each change of owner, is held against the kernel: no interface with the MAC may be up
// then (I2), unless it was forfeited.
type leaseTable struct {
	w *world

	mu      sync.Mutex
	leases  map[string]*v1alpha1.MacLease // name -> as it was seen last
	owners  map[string][]tenure           // MAC -> who had it, oldest first
	forfeit map[string]time.Time          // identity -> until when its old holders may be up: their end is forced
}

// tenure is a time in which a MAC was a claim's.
type tenure struct {
	identity string
	from, to time.Time // to is zero as long as it lasts
}

func newLeaseTable(w *world) *leaseTable {
	t := &leaseTable{w: w, leases: map[string]*v1alpha1.MacLease{}, owners: map[string][]tenure{}, forfeit: map[string]time.Time{}}
	go func() {
		for w.ctx.Err() == nil {
			t.follow()
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return t
}

func (t *leaseTable) follow() {
	list := &v1alpha1.MacLeaseList{}
	if err := t.w.api.List(t.w.ctx, list); err != nil {
		return
	}
	seen := map[string]bool{}
	for i := range list.Items {
		seen[list.Items[i].Name] = true
		t.see(&list.Items[i])
	}
	t.mu.Lock()
	var gone []*v1alpha1.MacLease
	for name, l := range t.leases {
		if !seen[name] {
			gone = append(gone, l)
		}
	}
	t.mu.Unlock()
	for _, l := range gone {
		t.deleted(l)
	}
	since := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}}
	events, err := t.w.api.Watch(t.w.ctx, &v1alpha1.MacLeaseList{}, since)
	if err != nil {
		return
	}
	defer events.Stop()
	for e := range events.ResultChan() {
		l, ok := e.Object.(*v1alpha1.MacLease)
		switch {
		case !ok:
			return
		case e.Type == watch.Deleted:
			t.deleted(l)
		default:
			t.see(l)
		}
	}
}

func ownerOf(l *v1alpha1.MacLease) string {
	if l == nil || l.Spec.ReleasedAt != nil {
		return ""
	}
	return l.Spec.ClaimRef.Namespace + "/" + l.Spec.ClaimRef.Name
}

func (t *leaseTable) see(l *v1alpha1.MacLease) {
	t.mu.Lock()
	before := ownerOf(t.leases[l.Name])
	t.leases[l.Name] = l
	t.mu.Unlock()
	t.changed(string(l.Spec.MAC), before, ownerOf(l), l)
}

func (t *leaseTable) deleted(l *v1alpha1.MacLease) {
	t.mu.Lock()
	before := ownerOf(t.leases[l.Name])
	delete(t.leases, l.Name)
	t.mu.Unlock()
	t.changed(string(l.Spec.MAC), before, "", l)
}

func (t *leaseTable) changed(mac, before, after string, l *v1alpha1.MacLease) {
	if before == after {
		return
	}
	now := time.Now()
	t.mu.Lock()
	past := t.owners[mac]
	if n := len(past); n > 0 && past[n-1].to.IsZero() {
		past[n-1].to = now
	}
	if after != "" {
		past = append(past, tenure{identity: after, from: now})
	}
	t.owners[mac] = past[max(0, len(past)-16):]
	forfeit := time.Now().Before(t.forfeit[before])
	t.mu.Unlock()
	if before == "" || forfeit {
		return
	}
	for _, up := range t.w.upWith(mac) {
		evidence := "?"
		if len(l.Spec.History) > 0 {
			evidence = fmt.Sprintf("%s: %s", l.Spec.History[0].Reason, l.Spec.History[0].Evidence)
		}
		t.w.violate(falseRelease, "lease %s of %s was given up (%s; it is %s's now) while %s is up in %s (I2)", l.Name, before, evidence, after, mac, up)
	}
}

// ownedAt tells whether the MAC was the identity's at a moment, give or take.
func (t *leaseTable) ownedAt(mac, identity string, at time.Time, slack time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.owners[mac], func(o tenure) bool {
		return o.identity == identity && !at.Before(o.from.Add(-slack)) && (o.to.IsZero() || !at.After(o.to.Add(slack)))
	})
}

// confirm looks whether what an ADD has answered is what the API has (I3). The answer may only be given after the lease is
// there, so a live read must find it, as long as the attempt lasts.
func (t *leaseTable) confirm(a *attempt) {
	name := "vlan-" + a.mac // not a name that any lease has
	for _, n := range t.w.nets {
		if load+"/"+n.name == a.net.Name {
			name = fmt.Sprintf("vlan-%d.%s", n.vlan, a.ips[0])
		}
	}
	lease := &v1alpha1.MacLease{}
	err := t.w.api.Get(t.w.ctx, client.ObjectKey{Name: name}, lease)
	for tries := 0; err != nil && !apierrors.IsNotFound(err) && tries < 20; tries++ {
		time.Sleep(500 * time.Millisecond)
		err = t.w.api.Get(t.w.ctx, client.ObjectKey{Name: name}, lease)
	}
	t.w.truth.mu.Lock()
	over := !a.live()
	t.w.truth.mu.Unlock()
	var ips []string
	for _, ip := range lease.Spec.IPs {
		ips = append(ips, string(ip))
	}
	var want []string
	for _, ip := range a.ips {
		want = append(want, ip.String())
	}
	if !over && (err != nil || ownerOf(lease) != a.identity || string(lease.Spec.MAC) != a.mac || !slices.Equal(ips, want)) {
		t.w.violate(lostLease, "ADD of %s has answered %s %v, lease %s is %q's with %s %v (I3): %v",
			a, a.mac, a.ips, name, ownerOf(lease), lease.Spec.MAC, ips, err)
	}
}
