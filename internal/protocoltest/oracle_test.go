// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/memapi"
)

// observe judges each change of the API by the truth, at the moment at which it is made. The server is locked.
func (t *truth) observe(e memapi.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.GVK.Kind {
	case "MacClaim":
		from, _ := e.Old.(*v1alpha1.MacClaim)
		to, _ := e.New.(*v1alpha1.MacClaim)
		t.claimChanged(from, to, e.By)
	case "MacLease":
		from, _ := e.Old.(*v1alpha1.MacLease)
		to, _ := e.New.(*v1alpha1.MacLease)
		t.leaseChanged(e.Key.Name, from, to, e.By)
	case "MacPool":
		to, _ := e.New.(*v1alpha1.MacPool)
		t.world.poolChanged(e.Key.Name, to)
	case "MacNode":
		if to, ok := e.New.(*v1alpha1.MacNode); ok && strings.HasPrefix(e.By, "agent-of-"+to.Name) {
			t.reports[nodeName{to.Name, to.Status.NodeUID}] = time.Now()
		}
	}
	if t.world.verbose {
		t.world.logf("  %s", changeText(e))
	}
}

func (t *truth) claimChanged(from, to *v1alpha1.MacClaim, by string) {
	if from == nil {
		return
	}
	if to == nil {
		if h := from.Status.Holder; h != nil && t.world.policed() {
			t.world.violate("R-P4", "claim %s/%s was deleted by %s while pod %s holds it", from.Namespace, from.Name, by, h.PodUID)
		}
		t.claimDeleted(from, by)
		return
	}
	if from.Status.LeaseName != "" && to.Status.LeaseName != from.Status.LeaseName && !t.world.restored {
		t.world.violate("I4", "claim %s/%s had lease %s, and %s wrote %q", from.Namespace, from.Name, from.Status.LeaseName, by, to.Status.LeaseName)
	}
	was, is := from.Status.Holder, to.Status.Holder
	t.noteForce(was, is, to, from.Status.LeaseName)
	if is != nil && to.Status.LeaseName != "" {
		tenure := t.leases[to.Status.LeaseName]
		tenure.attached = true
		t.leases[to.Status.LeaseName] = tenure
	}
	if was == nil || is != nil && is.PodUID == was.PodUID {
		return
	}
	if is != nil && is.Generation <= was.Generation {
		t.world.violate("M09", "claim %s/%s: generation %d after %d", from.Namespace, from.Name, is.Generation, was.Generation)
	}
	end := v1alpha1.PreviousHolder{}
	if len(to.Status.PreviousHolders) > 0 {
		end = to.Status.PreviousHolders[0]
	}
	for _, l := range t.of(was.PodUID, from.Status.LeaseName) {
		t.judgeEnd(l, was, end, to, by)
	}
}

// noteForce notes what an administrator ends, until the pod is made the holder again. It is the administrator's word against the node's, which
// may be ready: an agent whose watch is stuck answers ADDs of that pod from its cache until it hears of that. What it gives out
// meanwhile has no right to its address, must go as soon as the agent hears (R-G7), and is kept from others by the long cooldown.
// All other ends without the node's word need it to be silent, by which it knows itself that its caches are not to be believed.
func (t *truth) noteForce(was, is *v1alpha1.Holder, claim *v1alpha1.MacClaim, lease string) {
	if is != nil {
		delete(t.forced, hold{is.PodUID, claim.Status.LeaseName})
		for _, l := range t.of(is.PodUID, claim.Status.LeaseName) {
			if l.why == string(v1alpha1.EndForced) { // an earlier sandbox, which the next one waits for; it has the pod's address again
				l.void = false
			}
		}
	}
	past := claim.Status.PreviousHolders
	if was != nil && (is == nil || is.PodUID != was.PodUID) && len(past) > 0 && past[0].Reason == v1alpha1.EndForced {
		t.forced[hold{was.PodUID, lease}] = true
	}
}

// judgeEnd judges the end of a hold whose link is up.
func (t *truth) judgeEnd(l *link, was *v1alpha1.Holder, end v1alpha1.PreviousHolder, claim *v1alpha1.MacClaim, by string) {
	pool := t.world.pools[claim.Spec.PoolRef.Name]
	n := l.sandbox.node
	silent := time.Since(t.lastReport(was))
	why := ""
	switch end.Reason {
	case v1alpha1.EndAgentReport:
		if !l.sandbox.ending {
			why = "its agent says that it is gone"
		}
	case v1alpha1.EndForced:
	case v1alpha1.EndNodeDeleted:
		// What was asked may be some minutes old. A link that came up after that, by an ADD of a pod that was on its way out of the API,
		// nobody can have heard. Its agent hears of the end, and removes it.
		asked := t.askedWithin(l, 6*time.Minute)
		switch {
		case len(asked) == 0:
			why = "nobody asked the VLAN"
		case !n.wireCut && time.Since(n.wireBack) > 6*time.Minute && asked[0].at.After(l.since):
			why = "it could have been heard on the VLAN"
		}
	case v1alpha1.EndTakenOver:
		switch {
		case pool == nil || pool.takeover() == v1alpha1.TakeoverStrict:
			why = "the pool is strict"
		case silent < 35*time.Second:
			why = "its node has reported " + silent.String() + " ago"
		case pool.takeover() != v1alpha1.TakeoverImmediate && !t.askedInVain(claim.Status.Holder, l):
			why = "the VLAN was not asked, or has answered"
		}
	default:
		why = "of " + string(end.Reason)
	}
	if why != "" && !l.void {
		t.world.violate("I2", "%s ended the hold of %s on %s (%s: %s), although %s", by, l, l.lease, end.Reason, end.Evidence, why)
	}
	if !end.Reason.Attested() {
		l.void, l.voidSince, l.why = true, time.Now(), string(end.Reason)
	}
}

// lastReport is when the holder's node has reported last. The word of a Node that was made again under the name does not count for the one
// before: it may be another machine's (R-G10).
func (t *truth) lastReport(of *v1alpha1.Holder) time.Time {
	var last time.Time
	for node, at := range t.reports {
		if node.name == of.NodeName && (node.uid == "" || of.NodeUID == "" || node.uid == of.NodeUID) && at.After(last) {
			last = at
		}
	}
	return last
}

// askedWithin are the questions about a link's addresses that are not older than that, the latest first.
func (t *truth) askedWithin(l *link, age time.Duration) []ask {
	var all []ask
	for _, a := range slices.Backward(t.asks) {
		if time.Since(a.at) > age {
			break
		}
		if slices.ContainsFunc(l.ips, func(ip netip.Addr) bool { return slices.Contains(a.ips, ip) }) {
			all = append(all, a)
		}
	}
	return all
}

// askedInVain tells whether the new holder's node has just asked for the address and heard nothing.
func (t *truth) askedInVain(holder *v1alpha1.Holder, l *link) bool {
	if holder == nil {
		return false
	}
	for _, a := range slices.Backward(t.asks) {
		if time.Since(a.at) > time.Minute {
			return false
		}
		if a.node == holder.NodeName && slices.ContainsFunc(l.ips, func(ip netip.Addr) bool { return slices.Contains(a.ips, ip) }) {
			return a.heard == ""
		}
	}
	return false
}

// claimDeleted judges the deletion of a claim by macpool: nothing may use it, and a StatefulSet's must have ended (I4).
func (t *truth) claimDeleted(claim *v1alpha1.MacClaim, by string) {
	if !strings.HasPrefix(by, "manager-") {
		return
	}
	for _, l := range t.sorted() {
		if l.lease == claim.Status.LeaseName && l.sandbox.identity == claim.Namespace+"/"+claim.Name && !l.void && !l.sandbox.ending {
			t.world.violate("I4", "%s deleted claim %s/%s, whose address %s has", by, claim.Namespace, claim.Name, l)
		}
	}
}

// identityOf is whose a lease is.
func identityOf(l *v1alpha1.MacLease) string {
	return l.Spec.ClaimRef.Namespace + "/" + l.Spec.ClaimRef.Name
}

func isLeased(l *v1alpha1.MacLease) bool { return l != nil && l.Spec.ReleasedAt == nil }

func (t *truth) leaseChanged(name string, from, to *v1alpha1.MacLease, by string) {
	tenure := t.leases[name]
	now := time.Now()
	if isLeased(from) && (!isLeased(to) || identityOf(to) != identityOf(from)) {
		for _, l := range t.sorted() {
			if l.lease == name && !l.void && !(l.sandbox.ending && !isLeased(to)) && l.sandbox.identity == identityOf(from) {
				t.world.violate("I2", "%s took lease %s from %s, whose link is up", by, name, l)
			}
		}
		tenure.released = now
		if to != nil && len(to.Spec.History) > 0 {
			tenure.reason = to.Spec.History[0].Reason
		}
	}
	if isLeased(to) && (!isLeased(from) || identityOf(from) != identityOf(to) || from.UID != to.UID) {
		t.given(name, &tenure, to, by)
		tenure = t.tenureOf(to)
	}
	if from != nil && to == nil && from.Spec.ReleasedAt != nil && from.Spec.ReusableAt == nil && !t.world.restored {
		t.world.violate("I6", "%s deleted lease %s while it cools", by, name)
	}
	t.leases[name] = tenure
}

// tenureOf is the tenure of a lease that was given just now. What the API has forgotten is not known to it.
func (t *truth) tenureOf(to *v1alpha1.MacLease) tenure { return tenure{identity: identityOf(to)} }

// given judges that an address was given to a claim.
func (t *truth) given(name string, before *tenure, to *v1alpha1.MacLease, by string) {
	pool := t.world.pools[to.Spec.PoolName]
	has := false
	for _, l := range t.sorted() {
		if l.lease == name && l.sandbox.identity != identityOf(to) && !l.void {
			t.world.violate("I1", "%s gave %s to %s, and %s has it", by, name, identityOf(to), l)
		}
		has = has || l.lease == name && l.sandbox.identity == identityOf(to)
	}
	if before.identity != "" && before.identity != identityOf(to) && before.attached && !t.world.restored {
		need := pool.leastCooldown(before.released)
		if before.reason != "" && !before.reason.Attested() {
			need = max(10*need, 10*time.Minute)
		}
		switch cooled := time.Since(before.released); {
		case before.released.IsZero():
			t.world.violate("I6", "%s gave %s of %s, which was not released, to %s", by, name, before.identity, identityOf(to))
		case cooled < need:
			t.world.violate("I6", "%s gave %s to %s %s after %s gave it back (%s), which is sooner than %s",
				by, name, identityOf(to), cooled, before.identity, before.reason, need)
		}
	}
	for _, ip := range to.Spec.IPs {
		// What a node has attached and the API has no record of any more is recorded again, whatever the pool leases by now (R-B1).
		if !has && !pool.couldLease(netip.MustParseAddr(string(ip)), identityOf(to), t.world.knownSince(by)) {
			t.world.violate("I7", "%s gave %s to %s, which pool %s does not lease", by, ip, identityOf(to), to.Spec.PoolName)
		}
	}
	if want := pool.macOf(to); want != "" && want != string(to.Spec.MAC) {
		t.world.violate("I7", "%s gave %s MAC %s, want %s", by, name, to.Spec.MAC, want)
	}
}

// checkUnique is I1: no two links of one segment have an address in common, unless both are one pod's, whose container is being
// replaced, or one of them is about to go and both are one identity's.
func (t *truth) checkUnique() {
	links := t.sorted()
	for i, a := range links {
		for _, b := range links[i+1:] {
			if a.void || b.void || segmentOf(a.lease) != segmentOf(b.lease) {
				continue
			}
			if a.mac != b.mac && !slices.ContainsFunc(a.ips, func(ip netip.Addr) bool { return slices.Contains(b.ips, ip) }) {
				continue
			}
			sameOwner := a.sandbox.identity == b.sandbox.identity
			switch {
			case sameOwner && a.sandbox.uid == b.sandbox.uid && a.sandbox.node == b.sandbox.node:
			case sameOwner && (a.sandbox.ending || b.sandbox.ending):
			default:
				t.world.violate("I1", "%s and %s both have %s", a, b, a.lease)
			}
		}
	}
}

func segmentOf(lease string) string {
	segment, _, _ := strings.Cut(lease, ".")
	return segment
}

// checkResult is I3: what an ADD has answered is what the API has at that moment. It is called between two changes.
func (t *truth) checkResult(s *sandbox, lease *agentapi.Lease) {
	if t.world.restored {
		return
	}
	claim, known := t.world.claim(s.identity), t.world.lease(lease.Name)
	switch {
	case claim == nil:
		t.world.violate("I3", "sandbox %s was given %s of claim %s, which does not exist", s.id, lease.Name, s.identity)
	case claim.Status.LeaseName != lease.Name || claim.Status.MAC != lease.MAC:
		t.world.violate("I3", "sandbox %s was given %s of claim %s, which has %q", s.id, lease.Name, s.identity, claim.Status.LeaseName)
	case claim.Status.Holder == nil || claim.Status.Holder.PodUID != s.uid || claim.Status.Holder.NodeName != s.node.name:
		t.world.violate("I3", "sandbox %s of pod %s was given %s, whose holder is %+v", s.id, s.uid, lease.Name, claim.Status.Holder)
	case !isLeased(known) || known.Spec.ClaimRef.UID != claim.UID || string(known.Spec.MAC) != lease.MAC:
		t.world.violate("I3", "sandbox %s was given %s, which is not leased to claim %s", s.id, lease.Name, s.identity)
	}
}

// check is what holds after each step: the lease of each link is its owner's (I2), and its pod the claim's holder.
func (t *truth) check() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checkUnique()
	if t.world.restored {
		return
	}
	for _, l := range t.sorted() {
		if l.void || l.sandbox.ending {
			continue
		}
		lease, claim := t.world.lease(l.lease), t.world.claim(l.sandbox.identity)
		switch {
		case !isLeased(lease):
			t.world.violate("I2", "%s uses %s, which is not leased", l, l.lease)
		case identityOf(lease) != l.sandbox.identity:
			t.world.violate("I2", "%s of %s uses %s, which is leased to %s", l, l.sandbox.identity, l.lease, identityOf(lease))
		case claim == nil || claim.Status.LeaseName != l.lease:
			t.world.violate("I2", "%s uses %s, which its claim %s has not", l, l.lease, l.sandbox.identity)
		case claim.Status.Holder == nil || claim.Status.Holder.PodUID != l.sandbox.uid:
			t.world.violate("I2", "%s uses %s, and the holder of its claim is %+v", l, l.lease, claim.Status.Holder)
		}
	}
}

// fencedWithin is how soon an agent that has the API again must have removed what is not its pods' any more; R-G7 asks for 5 s
// after the heal, to which come the times of whatever else was wrong with it.
const fencedWithin = time.Minute

// checkFences is R-G7.
func (t *truth) checkFences() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.sorted() {
		if !l.void || l.sandbox.ending {
			continue
		}
		since := l.voidSince
		if l.sandbox.node.troubled.After(since) {
			since = l.sandbox.node.troubled
		}
		if time.Since(since) > fencedWithin {
			t.world.violate("R-G7", "%s lost %s %s ago (%s), and has it still", l, l.lease, time.Since(l.voidSince), l.why)
		}
	}
}

// claim is a claim by its identity, nil if there is none.
func (w *world) claim(identity string) *v1alpha1.MacClaim {
	namespace, name, _ := strings.Cut(identity, "/")
	o, _ := w.server.Object("MacClaim", types.NamespacedName{Namespace: namespace, Name: name}).(*v1alpha1.MacClaim)
	return o
}

func (w *world) lease(name string) *v1alpha1.MacLease {
	o, _ := w.server.Object("MacLease", types.NamespacedName{Name: name}).(*v1alpha1.MacLease)
	return o
}
