// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/metric"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/retention"
)

const (
	// maxAddresses is how many addresses one ADD tries. Each takes some seconds of those that it has.
	maxAddresses = 4
	// oldLinkWait is for how long after the end of a hold an answer with the leased MAC is taken for the old interface's.
	oldLinkWait = time.Minute
)

// unopposed returns the claim with an address that nobody else uses on the VLAN. A stranger's address is set aside, and the claim gets another,
// unless it insists on it. mine is as of acquire. The claim's lock is held, and an error leaves the holder with the pod, which is tried again.
func (t *addition) unopposed(ctx context.Context, claim *v1alpha1.MacClaim, mine bool) (*v1alpha1.MacClaim, bool, error) {
	var last *problem.Error
	for range maxAddresses {
		if t.pool.Spec.ConflictMode() == v1alpha1.ConflictOff || len(claim.Status.IPs) == 0 || t.hasAttached(claim) {
			return claim, mine, nil
		}
		q := inquiryOf(claim, t.pool, t.req.Link)
		by, err := t.whoUses(ctx, q)
		if err != nil {
			return claim, mine, t.notProbed(ctx, claim, err)
		}
		if by == claim.Status.MAC && t.outlasted { // the question may have been asked while that one was up
			t.outlasted = false
			if by, err = t.whoUses(ctx, q); err != nil {
				return claim, mine, t.notProbed(ctx, claim, err)
			}
		}
		if by == claim.Status.MAC {
			if by, err = t.sameMAC(ctx, claim); err != nil {
				return claim, mine, err
			}
		}
		if by == "" {
			return claim, mine, nil
		}
		last = problem.TooManyConflicts.New(t.verdicts.strangers(t.pool.Name)+1, t.pool.Name, t.nodeName)
		if claim, err = t.evade(ctx, claim, q, by); err != nil {
			return claim, t.mine || mine, err
		}
		mine = t.mine
	}
	t.says.onPod(t.req.Pod, last)
	return claim, mine, last
}

// hasAttached tells whether the pod has the address attached already: it was asked for then, and the sandbox of the attempt before may
// still answer for it.
func (t *addition) hasAttached(claim *v1alpha1.MacClaim) bool {
	for _, other := range t.journal.ofClaim(t.claim) {
		if other.State == attached && other.Pod.UID == t.req.Pod.UID && other.Lease != nil && other.Lease.Name == claim.Status.LeaseName {
			return true
		}
	}
	return false
}

// whoUses asks the VLAN, if this network can be asked.
func (t *addition) whoUses(ctx context.Context, q *inquiry) (by string, err error) {
	ctx, phase := t.phase(ctx, metric.PhaseProbe)
	defer func() { phase.end(err) }()
	if q.link == "" {
		t.verdicts.unasked.Add(1)
		return "", fmt.Errorf("network %s names no link of node %s", t.req.Network, t.nodeName)
	}
	if n := t.verdicts.strangers(t.pool.Name); n >= maxConflicts {
		return "", problem.TooManyConflicts.New(n, t.pool.Name, t.nodeName)
	}
	return t.verdicts.of(ctx, q)
}

// notProbed is what becomes of an ADD whose address was not asked for; nil if it goes on.
func (t *addition) notProbed(ctx context.Context, claim *v1alpha1.MacClaim, why error) error {
	switch {
	case ctx.Err() != nil:
		return t.over(context.Cause(ctx))
	case problem.As(why) != nil:
		t.says.onPod(t.req.Pod, problem.As(why))
		return why
	case t.pool.Spec.ConflictMode() == v1alpha1.ConflictStrict:
		refused := problem.AddressNotProbed.New(addressesOf(claim), claim.Namespace, claim.Name, why).WithCause(why)
		t.says.onPod(t.req.Pod, refused)
		return refused
	default:
		t.log.V(1).Info("An address is given out that was not asked for on the VLAN", "claim", t.claim, "reason", why.Error())
		return nil
	}
}

// errOldInterface: see OldInterfaceAlive.
var errOldInterface = errors.New("the address answers with its own MAC")

// sameMAC judges an answer that came from the leased MAC: "" if it is not held against the pod. MACs are made from addresses, so it is
// somebody who had the lease before, or a cluster that leases the same addresses (R-B3). Of the first kind is one
//
//   - that is attached on this node: the kernel and the fence deal with it,
//   - whose hold was ended by a person who knew, or by a rule of the pool, without asking the VLAN: that decided,
//   - whose hold was ended otherwise without a node's word, or a moment ago: it is waited for, and no stranger.
//
// An interface that its node has seen go does not answer a minute later.
func (t *addition) sameMAC(ctx context.Context, claim *v1alpha1.MacClaim) (by string, err error) {
	if len(t.journal.ofLease(claim.Status.LeaseName)) > 0 {
		return "", nil
	}
	reason, ended, known, err := t.lastHold(ctx, claim)
	if err != nil {
		return "", err
	}
	switch {
	case !known:
		return claim.Status.MAC, nil
	case reason == v1alpha1.EndForced, reason == v1alpha1.EndOutOfService,
		reason == v1alpha1.EndTakenOver && t.pool.Spec.Takeover == v1alpha1.TakeoverImmediate:
		return "", nil
	case !reason.Attested(), reason == v1alpha1.EndSucceeded, t.clock.Since(ended) < oldLinkWait:
		old := problem.OldInterfaceAlive.New(addressesOf(claim), claim.Namespace, claim.Name, claim.Status.MAC, reason).WithCause(errOldInterface)
		t.says.onPod(t.req.Pod, old)
		return "", old
	default:
		return claim.Status.MAC, nil
	}
}

// lastHold is how the last hold of the claim, or of the claims that had its lease before, has ended. A hold in a backup was perhaps another
// cluster's, whose pod is up: that it was ended by force there, say, is no leave to go beside it here.
func (t *addition) lastHold(ctx context.Context, claim *v1alpha1.MacClaim) (reason v1alpha1.EndReason, at time.Time, known bool, err error) {
	for _, past := range claim.Status.PreviousHolders {
		if past.Reason != v1alpha1.EndConflicted { // which was never attached
			return past.Reason, past.Until.Time, !retention.FromBackup(claim, past.Until.Time), nil
		}
	}
	lease := &v1alpha1.MacLease{}
	err = t.live(ctx, func(ctx context.Context) error {
		return t.cluster.Get(ctx, client.ObjectKey{Name: claim.Status.LeaseName}, lease)
	})
	if client.IgnoreNotFound(err) != nil {
		return "", time.Time{}, false, fmt.Errorf("reading lease %s: %w", claim.Status.LeaseName, err)
	}
	for _, past := range lease.Spec.History {
		switch past.Reason {
		case v1alpha1.EndConflicted, v1alpha1.EndNeverAttached, v1alpha1.EndOrphaned:
		default:
			return past.Reason, past.To.Time, !retention.FromBackup(lease, past.To.Time), nil
		}
	}
	return "", time.Time{}, false, nil
}

// evade sets the address of the claim aside because a stranger uses it, and binds the claim to another one; an error if it insists on this
// one. The mark comes before the claim is unbound, so that nobody binds it to the same lease again in between. A crash between the two
// leaves a claim with a lease that is given to nobody; its next ADD comes here again.
func (t *addition) evade(ctx context.Context, claim *v1alpha1.MacClaim, q *inquiry, by string) (*v1alpha1.MacClaim, error) {
	if control, all := t.verdicts.answersForAll(ctx, q, t.pool, by); all {
		proxy := problem.ProxyAnswers.New(by, q.link, t.nodeName, addressesOf(claim), control)
		t.says.onPod(t.req.Pod, proxy)
		return claim, proxy
	}
	t.verdicts.note(t.pool.Name)
	conflict := problem.AddressConflict.New(addressesOf(claim), by)
	t.log.Info("A stranger uses an address", "claim", t.claim, "lease", claim.Status.LeaseName, "mac", by, "link", q.link)
	t.says.onPod(t.req.Pod, conflict)
	t.says.onClaim(t.claim, conflict)
	insists := t.insists(claim)
	evidence := fmt.Sprintf("%s answered for it on link %s of node %s", by, q.link, t.nodeName)
	err := t.live(ctx, func(ctx context.Context) error {
		// The gate of a paused pool has been passed: the claim is held. What is marked now is given to nobody.
		return t.holders.MarkConflict(ctx, claim.Status.LeaseName, claim.UID, v1alpha1.Conflict{
			MAC: by, NodeName: t.nodeName, SeenAt: metav1.NewTime(t.clock.Now()),
		}, evidence, !insists)
	})
	if err != nil {
		return claim, err
	}
	if insists {
		return claim, conflict
	}
	err = t.live(ctx, func(ctx context.Context) error {
		return t.holders.Unbind(ctx, claimKey(t.claim), claim.UID, claim.Status.LeaseName, binding.End{Reason: v1alpha1.EndConflicted, Evidence: evidence})
	})
	if err != nil {
		return claim, err
	}
	t.seen = false // whose the next hold is, bind finds out anew
	next, err := t.bindOrTakeOver(ctx)
	if err != nil {
		return claim, err
	}
	return next, nil
}

// insists tells whether the claim must have its address and no other: it asks for it, the pool keeps it for the claim, or others know
// its pods by it.
func (t *addition) insists(claim *v1alpha1.MacClaim) bool {
	if len(claim.Spec.IPs) > 0 || claim.Spec.MAC != "" {
		return true
	}
	for _, r := range t.pool.Spec.Reservations {
		if r.ClaimRef != nil && r.ClaimRef.Namespace == claim.Namespace && r.ClaimRef.Name == claim.Name {
			return true
		}
	}
	if claim.Spec.Workload != nil && claim.Spec.Workload.Kind == v1alpha1.WorkloadPod {
		return false
	}
	for _, past := range claim.Status.PreviousHolders {
		if past.Reason != v1alpha1.EndConflicted {
			return true
		}
	}
	return false
}

// addressesOf are the claim's, for people.
func addressesOf(claim *v1alpha1.MacClaim) string {
	if len(claim.Status.IPs) == 0 {
		return claim.Status.MAC
	}
	return strings.Join(claim.Status.IPs, " or ")
}
