// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/metric"
	"github.com/macpool/macpool/internal/problem"
)

// addition is an ADD on its way.
type addition struct {
	*Agent

	req  *agentapi.Request
	key  attemptKey
	pool *v1alpha1.MacPool
	pod  *corev1.Pod
	wish binding.Wish
	// parent is the link that the pool names for this node, for a network that names none.
	parent string
	// claim is the claim's name, which is known before the claim is; named: the pod or its network has said it. Otherwise it may
	// turn out to be another, of a person's claim for the workload; asked: the API was asked for one.
	claim        agentapi.ClaimRef
	named, asked bool
	// asking is the API's word on the admission that the next try to bind waits for; nil if none was asked for ahead.
	asking *admission
	// slot is the workload with the number of its claim, if its pods are alike and it was chosen here.
	slot *v1alpha1.Workload
	// seen: the claim was read live. mine: this ADD made the pod its holder, or tried to.
	seen, mine bool
	// waitUntil ends the wait for what another pod of this node still has. outlasted: an old interface was waited for.
	waitUntil time.Time
	outlasted bool
}

// given is what an ADD may answer.
type given struct {
	lease *agentapi.Lease
	// settle gives the claim's lock back, and undoes what was done if the answer was not sent.
	settle func(sent bool)
}

// errWaitForHolder: a pod holds the claim that is on its way out, or is being asked to make way.
var errWaitForHolder = errors.New("the claim's holder is being cleared")

// add serves ADD.
func (a *Agent) add(ctx context.Context, req *agentapi.Request) (*given, error) {
	t := &addition{Agent: a, req: req, key: attemptKey{req.ContainerID, req.Interface}}
	if err := t.check(); err != nil {
		return nil, err
	}
	if err := t.ready(ctx); err != nil {
		return nil, err
	}
	if known, ok := a.journal.get(t.key); ok {
		if known.State != attached {
			return nil, problem.ContainerDeleted.New(req.ContainerID)
		}
		return t.again(ctx, known.Claim)
	}
	if err := t.prepare(ctx); err != nil {
		return nil, err
	}
	t.waitUntil = a.clock.Now().Add(a.times.HolderWait)
	for {
		g, err := t.once(ctx)
		// What is waited for needs the claim's lock, which once has given back.
		switch {
		case errors.Is(err, errUnjudged):
			if err := t.ready(ctx); err != nil {
				return nil, err
			}
		case errors.Is(err, errRenamed):
		case errors.Is(err, errWaitForHolder) && !a.clock.Now().After(t.waitUntil):
			_, waiting := a.phase(ctx, metric.PhaseWait)
			a.clears.await(ctx, 250*time.Millisecond)
			waiting.end(nil)
		case errors.Is(err, errWaitForLink):
			_, waiting := a.phase(ctx, metric.PhaseWait)
			err := a.pause(ctx, oldLinkPoll)
			waiting.end(err)
			if err != nil {
				return nil, t.over(err)
			}
		default:
			return g, err
		}
	}
}

// check refuses what needs no look at anything.
func (t *addition) check() error {
	req := t.req
	switch {
	case req.ContainerID == "" || req.Interface == "":
		return problem.BadRequest.New("ADD without container or interface")
	case req.Pool == "":
		return problem.NoPoolNamed.New(req.Network)
	case req.Pod.Namespace == "" || req.Pod.Name == "" || req.Pod.UID == "":
		return problem.NotAPod.New()
	}
	if err := t.vetNetNS(req.NetNS); err != nil {
		return problem.ForeignNetNS.New(req.ContainerID, problem.Cut(req.NetNS, 128), err)
	}
	return nil
}

// prepare looks up pool and pod and reads the wish.
func (t *addition) prepare(ctx context.Context) (err error) {
	ctx, phase := t.phase(ctx, metric.PhaseLookup)
	defer func() { phase.end(err) }()
	if t.pool, err = t.findPool(ctx, t.req.Pool); err != nil {
		return err
	}
	if err := t.agrees(); err != nil {
		return err
	}
	if t.pod, err = t.findPod(ctx, t.req.Pod); err != nil {
		return err
	}
	if err := t.setParent(ctx); err != nil {
		return err
	}
	if t.wish, err = binding.ParseWish(t.req.Wish.IPs, t.req.Wish.MAC, t.pool); err != nil {
		return err
	}
	return t.name(ctx)
}

// agrees tells whether pool and network agree on who gives the interface its addresses, before anything is leased.
func (t *addition) agrees() error {
	switch alone := len(t.pool.Spec.Subnets) == 0; {
	case alone && !t.req.MACAlone:
		return problem.MACsAlone.New(t.pool.Name, t.req.Network)
	case !alone && t.req.IPAM != "":
		return problem.OwnIPAM(t.req.Network, t.req.IPAM, t.pool.Name)
	}
	return nil
}

// once tries to attach, under the claim's lock. On success the lock is kept until the answer is sent.
func (t *addition) once(ctx context.Context) (g *given, err error) {
	unlock, err := t.lock(ctx, t.claim)
	if err != nil {
		return nil, err
	}
	defer func() {
		if g == nil {
			unlock()
		}
	}()
	if known, ok := t.journal.get(t.key); ok { // since add looked
		unlock()
		if known.State != attached {
			return nil, problem.ContainerDeleted.New(t.req.ContainerID)
		}
		return t.again(ctx, known.Claim)
	}
	silence := t.contact.silence()
	claim, mine, err := t.acquire(ctx)
	if err == nil {
		// Whoever answers for the address of an alternate is the holder, as it should.
		if err = t.outlast(ctx, claim); err == nil && !t.isAlternate(claim) {
			claim, mine, err = t.unopposed(ctx, claim, mine)
		}
		if err != nil && errors.Is(context.Cause(ctx), errHungUp) {
			return nil, errors.Join(err, t.abandon(claim, mine, undoneHungUp))
		}
	}
	if err != nil {
		if errors.Is(context.Cause(ctx), errHungUp) {
			return nil, errors.Join(err, t.abandon(nil, false, undoneHungUp))
		}
		if earlier := t.earlier(); earlier != nil && problem.AllocationPaused.Is(err) {
			return t.reattach(ctx, earlier, err, unlock)
		}
		return nil, err
	}
	if !t.contact.isJudged() {
		return nil, errUnjudged
	}
	if err := t.enter(ctx, claim, mine, silence); err != nil {
		return nil, err
	}
	return t.give(unlock, func() error { return t.abandon(claim, mine, undoneHungUp) })
}

// lock waits until whatever else is done for the claim is over.
func (t *addition) lock(ctx context.Context, claim agentapi.ClaimRef) (unlock func(), err error) {
	ctx, phase := t.phase(ctx, metric.PhaseQueue)
	defer func() { phase.end(err) }()
	if unlock, err = t.locks.Lock(ctx, claim); err != nil {
		return nil, t.over(err)
	}
	return unlock, nil
}

// give answers with what the journal has. unlock gives the claim's lock back when the answer is sent, or undone. A DEL may have come
// since the journal was written, as the runtime's of an ADD that it gave up (R-C9): it takes no lock, and undoes the ADD.
func (t *addition) give(unlock func(), undo func() error) (*given, error) {
	entry, ok := t.journal.get(t.key)
	if !ok || entry.State != attached {
		return nil, problem.ContainerDeleted.New(t.req.ContainerID)
	}
	return &given{lease: entry.Lease, settle: func(sent bool) {
		defer unlock()
		if sent {
			if !entry.Lease.Quiet {
				t.announcer.begin(entry)
			}
		} else {
			t.log.Info("The caller of an ADD was gone, the ADD was undone", "container", t.req.ContainerID, "claim", t.claim)
			if err := undo(); err != nil {
				t.log.Error(err, "Undoing an ADD did not succeed", "container", t.req.ContainerID)
			}
		}
	}}, nil
}

// fenceOthers removes what other pods, which had the claim before, still have attached with its address on this node. If that
// does not succeed the worker goes on with it; the kernel lets one parent have one interface with the MAC up.
func (t *addition) fenceOthers(ctx context.Context) {
	for _, other := range t.journal.ofClaim(t.claim) {
		if other.State != attached || other.Pod.UID == t.req.Pod.UID {
			continue
		}
		if err := t.fence.judgeLocked(ctx, other.key()); err != nil {
			t.log.Info("What another pod had attached was not judged", "container", other.ContainerID, "claim", other.Claim,
				"pod", other.Pod, "error", err.Error())
		}
	}
}

// enter writes the journal, while the caller is there, and while the API has not been silent for long since the silence of this
// number: an ADD that was stopped in the middle may come back when the address has moved on.
func (t *addition) enter(ctx context.Context, claim *v1alpha1.MacClaim, mine bool, silence int) error {
	entry := t.attempt(claim)
	entry.Lease = leaseOf(claim, t.pool)
	entry.Lease.Parent = t.parent
	entry.Lease.Quiet = t.isAlternate(claim)
	undo := func(why string) error { return t.abandon(claim, mine, why) }
	if err := t.write(ctx, entry, undo); err != nil {
		return err
	}
	if !t.contact.isJudged() || t.contact.silence() != silence {
		// Nothing of it was answered: it begins again once what is attached here was compared. An API server that ends a watch early, as
		// busy ones do, must not cost each ADD of the node its sandbox.
		if err := t.journal.withdraw(t.key); err != nil {
			return errors.Join(problem.JournalFailed.New(err).WithCause(err), undo(undoneJournal))
		}
		return errUnjudged
	}
	return nil
}

// write writes the journal, while the caller is there.
func (t *addition) write(ctx context.Context, entry attempt, undo func(why string) error) (err error) {
	if ctx.Err() != nil {
		return errors.Join(t.over(context.Cause(ctx)), undo(undoneLate(ctx)))
	}
	_, phase := t.phase(ctx, metric.PhaseJournal)
	_, err = t.journal.attach(entry)
	phase.end(err)
	switch {
	case errors.Is(err, errTombstone):
		// Its DEL overtook it (R-C9). The tombstone stays; the holder that this ADD set goes the way of a DEL.
		return errors.Join(problem.ContainerDeleted.New(t.req.ContainerID), undo("deleted"))
	case err != nil:
		// If the disk is back already, the holder goes as after a DEL. Otherwise it stays with the pod, which is tried again:
		// a clear that no journal remembers might meet a later ADD of it.
		return errors.Join(problem.JournalFailed.New(err).WithCause(err), undo(undoneJournal))
	}
	if ctx.Err() != nil {
		return errors.Join(t.over(context.Cause(ctx)), undo(undoneLate(ctx)))
	}
	return nil
}

// again answers an ADD that was answered already, if its claim is still its own.
func (t *addition) again(ctx context.Context, claim agentapi.ClaimRef) (*given, error) {
	unlock, err := t.lock(ctx, claim)
	if err != nil {
		return nil, err
	}
	defer unlock()
	entry, ok := t.journal.get(t.key)
	switch {
	case !ok || entry.State != attached:
		return nil, problem.ContainerDeleted.New(t.req.ContainerID)
	case entry.Pod.UID != t.req.Pod.UID:
		return nil, problem.BadRequest.New("container " + t.req.ContainerID + " is another pod's")
	}
	held, err := t.stillHolds(ctx, &entry)
	if err != nil {
		return nil, err
	}
	if !held {
		return nil, problem.NotAttached.New(t.req.ContainerID, t.req.Interface)
	}
	return &given{lease: entry.Lease}, nil
}

// over is what an ADD says that ran out of time or lost its caller.
func (t *addition) over(err error) error {
	return problem.Internal.New("ADD was cut off: " + cause(err)).WithCause(err)
}

// attempt is the journal's record of the addition.
func (t *addition) attempt(claim *v1alpha1.MacClaim) attempt {
	return attempt{
		ContainerID: t.req.ContainerID, Interface: t.req.Interface,
		NetNS: t.req.NetNS, Network: t.req.Network, Pool: t.req.Pool,
		Link: t.req.Link, Claim: t.claim, ClaimUID: claim.UID, Pod: t.req.Pod, Generation: t.generationOf(claim),
		InstanceUID: binding.InstanceUID(t.pod),
		Workload:    claim.Spec.Workload, Revision: claim.ResourceVersion, Timeline: t.recovery.timeline(),
	}
}

// Why an ADD is undone, as the metric calls it.
const (
	undoneHungUp  = "hung_up"
	undoneJournal = "journal"
)

// undoneLate is why an ADD is undone whose context has ended.
func undoneLate(ctx context.Context) string {
	if errors.Is(context.Cause(ctx), errHungUp) {
		return undoneHungUp
	}
	return "late"
}

// abandon leaves a tombstone for an ADD that is not answered. A holder that it made itself is cleared; one that the manager
// made ahead stays the pod's.
func (t *addition) abandon(claim *v1alpha1.MacClaim, mine bool, why string) error {
	t.metrics.undone.WithLabelValues(why).Inc()
	entry := attempt{ContainerID: t.req.ContainerID, Interface: t.req.Interface, Pod: t.req.Pod, Claim: t.claim}
	if mine {
		entry = t.attempt(claim)
	}
	err := t.journal.abandon(entry)
	t.clears.kick()
	return err
}
