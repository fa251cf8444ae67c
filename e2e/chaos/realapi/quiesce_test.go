// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/chaos/oracle"
	"github.com/macpool/macpool/internal/agentapi"
)

// settleFor is how long the cluster has to come to rest: several times an orphan's 60 s, the reaper's 15 s and a cooldown. It
// is not waited for when all is well earlier.
const settleFor = 200 * time.Second

// settled ends the faults, lets every pod come to rest, and judges what is there then. It returns what is wrong, if that does not
// heal in time.
func (w *world) settled(running interface{ Wait() }) {
	w.quiet.Store(true)
	w.settleBy = w.clock.Now().Add(settleFor)
	w.logf("quiesce: %d pods", len(w.slots))
	w.heal()
	running.Wait()
	w.slots = append(w.slots, w.far...)
	w.each(w.slots, func(s *slot) { s.settle() })
	w.logf("every pod is at rest")
	var last error
	said := w.clock.Now()
	for w.pause(time.Second) {
		if last = w.inOrder(); last == nil {
			break
		}
		if w.clock.Since(said) > 20*time.Second {
			said = w.clock.Now()
			w.logf("not in order yet: %v", last)
		}
		if w.clock.Now().After(w.settleBy) {
			for text := range strings.SplitSeq(last.Error(), "\n") {
				w.violation(oracle.Violation{Kind: oracle.Orphan, Text: "after quiesce: " + text})
			}
			break
		}
	}
	w.ledger.Advance(time.Time{})
	w.checkAll()
	checked, broken := w.history.Check(20 * time.Second)
	for _, v := range broken {
		w.violation(v)
	}
	w.mu.Lock()
	w.report.Histories += checked
	w.mu.Unlock()
	w.logf("in order: %v; %d histories checked, %d without an order; %d attached", last == nil, checked, len(broken), len(w.truth.Attached()))
}

// each does something to slots at once.
func (w *world) each(slots []*slot, do func(*slot)) {
	var all sync.WaitGroup
	for _, s := range slots {
		all.Go(func() { do(s) })
	}
	all.Wait()
}

// heal ends what is still being done to the cluster.
func (w *world) heal() {
	w.plan.perMille.Store(0)
	for _, n := range w.allNodes() {
		n.proxy.Heal()
	}
	for _, m := range w.managers {
		m.proxy.Heal()
	}
}

// stuck : a pod could not be attached in all the time that it had.
func (w *world) stuck(s *slot) {
	w.mu.Lock()
	samples := fmt.Sprint(w.samples)
	w.mu.Unlock()
	w.violation(oracle.Violation{Kind: "stuck", Text: fmt.Sprintf("pod %s on %s was not attached within %s of quiet: %s",
		s.name(), s.node.name, settleFor, samples)})
}

// inOrder compares what the API has with what there is: the pods of the slots and their sandboxes. nil if nothing is without cause
// and nothing is missing.
func (w *world) inOrder() error {
	ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
	defer cancel()
	var claims v1alpha1.MacClaimList
	var leases v1alpha1.MacLeaseList
	var pools v1alpha1.MacPoolList
	var pods corev1.PodList
	for _, list := range []client.ObjectList{&leases, &claims, &pools, &pods} {
		if err := w.admin.List(ctx, list); err != nil {
			return err
		}
	}
	var errs []error
	complain := func(format string, args ...any) {
		if len(errs) < 12 {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	attached := map[string]oracle.Attachment{} // pod UID -> its attachment
	for _, a := range w.truth.Attached() {
		attached[a.PodUID] = a
	}
	cause := map[string]*slot{} // identity -> its slot
	for _, s := range w.slots {
		if s.set != nil || s.pod != nil {
			cause[s.identity()] = s
		}
	}
	bound := map[string]*v1alpha1.MacClaim{} // lease -> claim
	for i := range claims.Items {
		c := &claims.Items[i]
		identity := c.Namespace + "/" + c.Name
		s := cause[identity]
		if s == nil {
			complain("claim %s is for nobody (holder %v)", identity, c.Status.Holder)
			continue
		}
		if c.Status.LeaseName == "" {
			complain("claim %s has no lease", identity)
			continue
		}
		bound[c.Status.LeaseName] = c
		var uid string
		if c.Status.Holder != nil {
			uid = string(c.Status.Holder.PodUID)
		}
		switch {
		case s.pod == nil && uid != "":
			complain("claim %s is held by %v, and its pod is gone", identity, c.Status.Holder)
		case s.pod != nil && uid != string(s.pod.UID):
			complain("claim %s is held by %q, its pod is %s; before it was %v", identity, uid, s.pod.UID, last(c.Status.PreviousHolders))
		case s.pod != nil && attached[uid].Lease != c.Status.LeaseName:
			complain("claim %s has %s, its pod %q", identity, c.Status.LeaseName, attached[uid].Lease)
		}
		delete(cause, identity)
	}
	for identity, s := range cause {
		if s.pod != nil {
			complain("no claim %s", identity)
		}
	}
	leased, cooling := map[string]int64{}, map[string]int64{}
	for i := range leases.Items {
		l := &leases.Items[i]
		if l.Spec.ReleasedAt != nil {
			if l.Spec.ReusableAt == nil {
				cooling[l.Spec.PoolName]++
				if len(l.Spec.History) > 0 && l.Spec.History[0].Reason.Attested() {
					complain("lease %s cools still, released at %s: %s", l.Name, l.Spec.ReleasedAt, l.Spec.History[0].Evidence)
				}
			}
			continue
		}
		leased[l.Spec.PoolName]++
		if c := bound[l.Name]; c == nil || c.UID != l.Spec.ClaimRef.UID {
			complain("lease %s of claim %s/%s (%s) is named by none", l.Name, l.Spec.ClaimRef.Namespace, l.Spec.ClaimRef.Name, l.Spec.ClaimRef.UID)
		}
		delete(bound, l.Name)
	}
	for name, c := range bound {
		complain("claim %s names lease %s, which is not there or released", c.Name, name)
	}
	// The arithmetic: what is not leased is free, but those of which no node has said that the interface is gone: they cool for
	// ten minutes.
	sizes := map[string]int64{"main": mainSize, "tight": tightSize, "quick": 32}
	for _, p := range pools.Items {
		size, ok := sizes[p.Name]
		if !ok {
			continue
		}
		free := size - leased[p.Name] - cooling[p.Name]
		if ptr.Deref(p.Status.Leased, -1) != leased[p.Name] || ptr.Deref(p.Status.Available, -1) != free {
			complain("pool %s says leased %d, cooling %d, available %d; of %d addresses %d are leased, %d cool", p.Name,
				ptr.Deref(p.Status.Leased, -1), ptr.Deref(p.Status.Cooling, -1), ptr.Deref(p.Status.Available, -1), size,
				leased[p.Name], cooling[p.Name])
		}
	}
	for _, n := range w.allNodes() {
		if left := n.spooled(); left > 0 {
			complain("%s has %d DELs in its spool", n.name, left)
		}
	}
	return errors.Join(errs...)
}

func last(past []v1alpha1.PreviousHolder) any {
	if len(past) == 0 {
		return "nobody's"
	}
	return fmt.Sprintf("%s's on %s, generation %d, until %s: %s", past[0].PodUID, past[0].NodeName, past[0].Generation, past[0].Until, past[0].Evidence)
}

// checkAll asks CHECK for every pod: it has what it was given (I3, I4).
func (w *world) checkAll() {
	w.each(w.slots, func(s *slot) {
		if s.box == nil || s.pod == nil {
			return
		}
		asked := w.clock.Now()
		lease, err := answerOf(s.node.ask(s.box.request(agentapi.Check, s.pod, s.pool), agentapi.CheckTimeout, 0))
		switch {
		case err != nil:
			w.violation(oracle.Violation{Kind: oracle.LostLease, Text: fmt.Sprintf("CHECK of %s after quiesce: %v%s", s.name(), err, s.story())})
		case lease.Name != s.lease.Name || lease.MAC != s.lease.MAC:
			w.violation(oracle.Violation{Kind: oracle.LostLease, Text: fmt.Sprintf("CHECK of %s after quiesce: %s, it had %s", s.name(), lease.Name, s.lease.Name)})
		default:
			w.count.checks.Add(1)
			w.history.Lookup(lease.Name, s.identity(), asked, w.clock.Now())
		}
	})
}
