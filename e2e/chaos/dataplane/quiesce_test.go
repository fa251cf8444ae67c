// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

const (
	// settling is for how long at most everything may take to come to rest once nothing is done any more: the time in which a holder
	// that was left over is looked at twice, and one restart of an agent.
	settling = 2 * time.Minute
)

// quiesce is called when nothing is done any more. Every pod that is in the API must run, with the address that it was given; what
// nobody has must be free, to the last address; and when all pods are gone, all of it.
func (w *world) quiesce(c *churn) {
	w.say("quiesce")
	begin := time.Now()
	err := w.await("all pods run or are gone", settling, func() error { return w.restless(c) })
	if err != nil {
		w.violate(lostLease, "after quiesce: %v", err)
	}
	if err := w.await("nothing is left over", settling, func() error { return w.leftOver(c) }); err != nil {
		w.violate(orphan, "after quiesce: %v", err)
	}
	w.askAll()
	w.everyoneStill()
	if err := w.await("the pools count right", settling, w.arithmetic); err != nil {
		w.violate(orphan, "after quiesce: %v", err)
	}
	w.figure("quiesceSeconds", time.Since(begin).Seconds())
	w.figure("podsAtRest", float64(len(c.list())))
	w.empty(c)
}

// list are the pods that the API has.
func (c *churn) list() []*corev1.Pod {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.there))
}

// restless says which pod of the API does not run yet, or which sandbox is one of a pod that is gone.
func (w *world) restless(c *churn) error {
	var pods corev1.PodList
	if err := w.api.List(w.ctx, &pods, client.InNamespace(load)); err != nil {
		return err
	}
	known := map[string]bool{}
	for i := range pods.Items {
		p := &pods.Items[i]
		known[string(p.UID)] = true
		if p.DeletionTimestamp != nil {
			return fmt.Errorf("pod %s on %s is still being deleted", p.Name, p.Spec.NodeName)
		}
		if p.Status.Phase == corev1.PodSucceeded {
			continue
		}
		h := w.host(p.Spec.NodeName)
		if h == nil {
			continue // it was never bound
		}
		if !c.running(h, p.UID) {
			return fmt.Errorf("pod %s on %s (%s) does not run; refusals so far: %v", p.Name, h.Name, h.Runtime.Personality, w.truth.refused())
		}
	}
	for _, h := range w.everywhere() {
		for _, s := range h.Runtime.Sandboxes() {
			if !known[string(s.UID)] {
				return fmt.Errorf("a sandbox of pod %s, which is gone, is still on %s", s.Name, h.Name)
			}
		}
		if flights := w.truth.flightsOn(h); len(flights) > 0 {
			return fmt.Errorf("%d calls are still under way on %s", len(flights), h.Name)
		}
	}
	return nil
}

func (w *world) host(name string) *host {
	for _, h := range w.everywhere() {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// expected are the identities that may have a lease: those of pods that have not finished, and, as long as their set is there, all of a
// StatefulSet. must are those of pods that run.
func (w *world) expected(c *churn) (may map[string]bool, must map[string]*attempt) {
	may, must = map[string]bool{}, map[string]*attempt{}
	for _, a := range w.truth.snapshot((*attempt).live) {
		may[a.identity], must[a.identity] = true, &a
	}
	for _, p := range c.list() {
		if p.Status.Phase == corev1.PodSucceeded {
			continue
		}
		for i, name := range strings.Split(p.Annotations[nadv1.NetworkAttachmentAnnot], ",") {
			may[fmt.Sprintf("%s/%s.%s.net%d", load, p.Name, name, i+1)] = true
		}
	}
	return may, must
}

// leftOver says which lease or holder is nobody's.
func (w *world) leftOver(c *churn) error {
	may, must := w.expected(c)
	var leases v1alpha1.MacLeaseList
	if err := w.api.List(w.ctx, &leases); err != nil {
		return err
	}
	has := map[string]bool{}
	for i := range leases.Items {
		l := &leases.Items[i]
		owner := ownerOf(l)
		if owner == "" {
			continue
		}
		if has[owner] {
			return fmt.Errorf("%s has two leases, one is %s", owner, l.Name)
		}
		has[owner] = true
		// A set's identity may have been bound before its pod was ever attached.
		if !may[owner] && !ofSet(owner) {
			return fmt.Errorf("lease %s is leased to %s, which has nothing", l.Name, owner)
		}
	}
	for identity, a := range must {
		if !has[identity] {
			return fmt.Errorf("%s runs and has no lease", a)
		}
	}
	var claims v1alpha1.MacClaimList
	if err := w.api.List(w.ctx, &claims, client.InNamespace(load)); err != nil {
		return err
	}
	for i := range claims.Items {
		claim := &claims.Items[i]
		a, holder := must[load+"/"+claim.Name], claim.Status.Holder
		switch {
		case a == nil && holder != nil:
			return fmt.Errorf("claim %s is held by %s on %s (generation %d), where it is not attached", claim.Name, holder.PodUID, holder.NodeName, holder.Generation)
		case a != nil && (holder == nil || holder.PodUID != a.sandbox.UID || holder.NodeName != a.host.Name):
			return fmt.Errorf("claim %s is held by %+v, attached is %s", claim.Name, holder, a)
		}
	}
	for _, h := range w.everywhere() {
		if files, err := filepath.Glob(filepath.Join(h.StateDir(), "spool", "[^.]*@*")); err != nil || len(files) > 0 {
			return fmt.Errorf("the spool of %s has %v, %w", h.Name, files, err)
		}
	}
	return nil
}

// ofSet tells whether an identity is one of a StatefulSet.
func ofSet(identity string) bool {
	return strings.HasPrefix(identity, load+"/set") || strings.HasPrefix(identity, load+"/"+splitName)
}

// askAll asks for every address of every pool: who runs answers, once, and nobody else.
func (w *world) askAll() {
	time.Sleep(settled) // so that all must answer
	for _, n := range w.nets {
		for ips := range slices.Chunk(n.all, batch) {
			for try := 0; ; try++ {
				wrong := w.wrongAnswers(n, ips)
				if wrong == "" {
					break
				}
				if try == 5 {
					w.violate(lostLease, "at rest: %s", wrong)
					break
				}
				time.Sleep(200 * time.Millisecond)
			}
		}
	}
}

func (w *world) wrongAnswers(n *network, ips []netip.Addr) string {
	want := w.asker.expected(n, ips)
	got := w.asker.ask(n, ips)
	for _, ip := range ips {
		switch {
		case want[ip] != nil && len(got[ip]) == 0:
			return fmt.Sprintf("%s of %s is not answered for", ip, want[ip])
		case want[ip] == nil && len(got[ip]) > 0:
			return fmt.Sprintf("%s is nobody's, and %v answers for it; %s", ip, got[ip], w.asker.who(ip))
		}
	}
	return ""
}

// everyoneStill holds the interfaces of all pods that run against what they were given (I4).
func (w *world) everyoneStill() {
	for _, a := range w.truth.snapshot((*attempt).live) {
		interfaces, err := a.sandbox.Interfaces()
		if err != nil {
			continue
		}
		found := false
		for _, i := range interfaces {
			if i.Name != a.net.Interface {
				continue
			}
			found = i.Up && i.MAC == a.mac
			for _, ip := range a.ips {
				found = found && slices.Contains(i.IPs, ip)
			}
		}
		if !found {
			w.violate(lostLease, "%s was given %s %v, and has %+v", &a, a.mac, a.ips, interfaces)
		}
	}
}

// arithmetic compares what the pools say with what must be: what is not leased is free, but for addresses of which no node has said that
// the interface is gone. They cool for ten minutes (R-G8); the others do so no more.
func (w *world) arithmetic() error {
	var leases v1alpha1.MacLeaseList
	if err := w.api.List(w.ctx, &leases); err != nil {
		return err
	}
	for _, n := range w.nets {
		var leased, cooling int64
		for i := range leases.Items {
			switch l := &leases.Items[i]; {
			case l.Spec.PoolName != n.name:
			case ownerOf(l) != "":
				leased++
			case l.Spec.ReusableAt == nil && len(l.Spec.History) > 0 && !l.Spec.History[0].Reason.Attested():
				cooling++
			case l.Spec.ReusableAt == nil:
				return fmt.Errorf("lease %s, released at %s, cools still: %+v", l.Name, l.Spec.ReleasedAt, l.Spec.History)
			}
		}
		pool := &v1alpha1.MacPool{}
		if err := w.api.Get(w.ctx, client.ObjectKey{Name: n.name}, pool); err != nil {
			return err
		}
		st := pool.Status
		got := fmt.Sprint(deref(st.Capacity), deref(st.Leased), deref(st.Cooling), deref(st.Available))
		if want := fmt.Sprint(int64(n.size), leased, cooling, int64(n.size)-leased-cooling); got != want {
			return fmt.Errorf("pool %s says of capacity, leased, cooling and available %s, it must be %s", n.name, got, want)
		}
	}
	return nil
}

func deref[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// empty removes all pods and sets: in the end everything must be free.
func (w *world) empty(c *churn) {
	for _, p := range c.list() {
		c.remove(p, false)
	}
	for _, set := range append(w.sets, w.split0) {
		if err := client.IgnoreNotFound(w.api.Delete(w.ctx, set)); err != nil {
			w.violate(other, "deleting a set: %v", err)
		}
	}
	err := w.await("all is free", settling, func() error {
		if all := c.list(); len(all) > 0 {
			return fmt.Errorf("%d pods are left", len(all))
		}
		return w.allFree()
	})
	if err != nil {
		w.violate(orphan, "when all pods were gone: %v", err)
	}
}

func (w *world) allFree() error {
	var leases v1alpha1.MacLeaseList
	if err := w.api.List(w.ctx, &leases); err != nil {
		return err
	}
	for i := range leases.Items {
		if owner := ownerOf(&leases.Items[i]); owner != "" {
			return fmt.Errorf("lease %s is still %s's", leases.Items[i].Name, owner)
		}
	}
	return w.arithmetic()
}
