// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/wire"
)

// probeRounds is how often the VLAN is asked before its silence is believed.
const probeRounds = 3

// errChanged: the claim was written after it was read for the evidence, which is void then.
var errChanged = errors.New("the claim has changed meanwhile")

// standoff is a claim that is held by a pod of another node, and all that was read about that, after the claim.
type standoff struct {
	claim    *v1alpha1.MacClaim
	takeover v1alpha1.Takeover
	has      *corev1.Pod // the holder's pod, nil if it is gone
	podThere bool        // it is there, and has not finished
	here     bool        // it is a pod of this node
	preempts bool        // it is to make way for this pod
	node     binding.NodeState
	alive    bool // its agent has reported since it was looked at last
	silent   time.Duration
}

// judge tells whether the hold may be ended, on evidence of the kind that it returns (R-G5). askWire: only if nothing answers for the
// address.
func (s *standoff) judge(after time.Duration) (reason v1alpha1.EndReason, askWire bool, err error) {
	c, holder := s.claim, s.claim.Status.Holder
	held := problem.ClaimHeld.New(c.Namespace, c.Name, holder.PodName, holder.NodeName)
	switch {
	case s.podThere && !s.preempts: // two pods want one identity
		return "", false, held
	case c.Status.Alternate != nil: // which is next
		return "", false, held
	case s.node == binding.NodeReady:
		return "", false, held
	case s.node == binding.NodeFenced:
		return v1alpha1.EndOutOfService, false, nil
	case s.takeover == v1alpha1.TakeoverStrict:
		return "", false, problem.TakeoverForbidden.New(c.Namespace, c.Name, holder.PodName, holder.NodeName, c.Spec.PoolRef.Name)
	case s.alive: // the kubelet may be dead, but the agent is not: it sees the interface
		return "", false, held
	case s.silent < after:
		return "", false, problem.TakeoverTooSoon.New(c.Namespace, c.Name, holder.PodName, holder.NodeName, s.silent.Truncate(time.Second), after)
	default:
		return v1alpha1.EndTakenOver, s.takeover != v1alpha1.TakeoverImmediate, nil
	}
}

// takeOver makes the pod the holder of a claim that a pod of another node holds, if that may be. errChanged: look again.
//
// The claim's lock is held all the time, the few seconds in which the VLAN is asked included.
func (t *addition) takeOver(ctx context.Context) (*v1alpha1.MacClaim, error) {
	s, err := t.faceOff(ctx)
	if err != nil {
		return nil, err
	}
	if s.preempts {
		if s.claim, err = t.summon(ctx, s.claim); err != nil {
			return nil, err
		}
	}
	if s.here {
		held := error(binding.Standing(s.claim, t.pod, s.has))
		if s.preempts || binding.PodOver(s.has) {
			held = errors.Join(held, errWaitForHolder)
		} // else it stays, and who is told so now can do something about it
		return nil, held
	}
	reason, askWire, err := s.judge(t.times.Takeover)
	switch {
	case problem.ClaimHeld.Is(err) && s.preempts: // its agent answers
		return nil, errors.Join(binding.Standing(s.claim, t.pod, s.has), errWaitForHolder)
	case problem.ClaimHeld.Is(err):
		return nil, binding.Standing(s.claim, t.pod, s.has)
	case err != nil:
		return nil, err
	}
	node := s.claim.Status.Holder.NodeName
	end := binding.End{Reason: reason, Evidence: fmt.Sprintf("node %s has the taint %s", node, corev1.TaintNodeOutOfService)}
	if reason == v1alpha1.EndTakenOver {
		end.Evidence = fmt.Sprintf("node %s had been silent for %s", node, s.silent.Truncate(time.Second))
	}
	if askWire {
		if err := t.probe(ctx, s.claim); err != nil {
			return nil, err
		}
		if err := t.stillSilent(ctx, s.claim); err != nil {
			return nil, err
		}
		end.Evidence += ", and nothing answered on link " + t.req.Link + " of node " + t.nodeName
	}
	t.mine = true // from here on, whoever reads the answer
	claim, err := t.holders.TakeOver(ctx, s.claim, *t.holder(), end)
	if err != nil {
		if transient(err) {
			return nil, errors.Join(errChanged, err)
		}
		return nil, err
	}
	t.log.Info("An address was taken over", "claim", t.claim, "pod", t.req.Pod, "from", s.claim.Status.Holder.PodName,
		"node", node, "reason", reason, "evidence", end.Evidence)
	return claim, nil
}

// faceOff reads all that a takeover is decided by. The claim comes first, and the write that ends the hold carries its resourceVersion: what
// is read after it is newer than the hold that it is evidence about (R-G2).
func (t *addition) faceOff(ctx context.Context) (s *standoff, err error) {
	changed := false
	err = t.live(ctx, func(ctx context.Context) error {
		s = &standoff{claim: &v1alpha1.MacClaim{}, takeover: t.pool.Spec.Takeover}
		err := t.cluster.Get(ctx, claimKey(t.claim), s.claim)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading claim %s: %w", claimKey(t.claim), err)
		}
		holder := s.claim.Status.Holder
		changed = err != nil || holder == nil || string(holder.PodUID) == t.req.Pod.UID ||
			!s.claim.DeletionTimestamp.IsZero() || s.claim.Spec.PoolRef.Name != t.pool.Name // bind says what to do
		if changed {
			return nil
		}
		if s.has, err = t.podOf(ctx, s.claim.Namespace, holder); err != nil {
			return err
		}
		s.here, s.podThere, s.preempts = t.isHere(holder), s.has != nil && !finished(s.has), binding.MayPreempt(s.claim, t.pod, s.has)
		if s.here || s.podThere && !s.preempts {
			return nil
		}
		if s.node, err = t.stateOf(ctx, holder); err != nil || s.node == binding.NodeReady || s.node == binding.NodeFenced {
			return err
		}
		s.silent, s.alive, err = t.watchSilence(ctx, holder)
		return err
	})
	if err == nil && changed {
		err = errChanged
	}
	return s, err
}

// stateOf reads the holder's node.
func (t *addition) stateOf(ctx context.Context, holder *v1alpha1.Holder) (binding.NodeState, error) {
	node := &corev1.Node{}
	err := t.cluster.Get(ctx, types.NamespacedName{Name: holder.NodeName}, node)
	if client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("reading node %s: %w", holder.NodeName, err)
	}
	if err != nil {
		node = nil
	}
	return binding.StateOfNode(node, holder), nil
}

// watchSilence tells for how long the holder's node has not reported, as far as this agent has seen.
func (t *addition) watchSilence(ctx context.Context, holder *v1alpha1.Holder) (d time.Duration, alive bool, err error) {
	sent := t.clock.Now()
	node := &v1alpha1.MacNode{}
	err = t.cluster.Get(ctx, types.NamespacedName{Name: holder.NodeName}, node)
	if client.IgnoreNotFound(err) != nil {
		return 0, false, fmt.Errorf("reading MacNode %s: %w", holder.NodeName, err)
	}
	if err != nil {
		node = nil
	}
	d, alive = t.silences.silentFor(silentNode{holder.NodeName, holder.NodeUID}, markOf(node, holder), sent)
	return d, alive, nil
}

// stillSilent is nil unless the holder's node has reported while the VLAN was asked: it is back, and sees its interface.
func (t *addition) stillSilent(ctx context.Context, claim *v1alpha1.MacClaim) error {
	holder, back := claim.Status.Holder, false
	err := t.live(ctx, func(ctx context.Context) error {
		_, alive, err := t.watchSilence(ctx, holder)
		back = back || alive
		return err
	})
	if err == nil && back {
		return problem.ClaimHeld.New(claim.Namespace, claim.Name, holder.PodName, holder.NodeName)
	}
	return err
}

// probe asks the VLAN whether anything uses the claim's addresses; nil if nothing does.
func (t *addition) probe(ctx context.Context, claim *v1alpha1.MacClaim) error {
	status := &claim.Status
	var ips []netip.Addr
	for _, text := range status.IPs {
		if ip, err := netip.ParseAddr(text); err == nil {
			ips = append(ips, ip)
		}
	}
	if len(ips) == 0 {
		return t.notAsked(claim, "a MAC alone has no address to ask for")
	}
	if t.req.Link == "" {
		return t.notAsked(claim, "network "+t.req.Network+" names no link of node "+t.nodeName)
	}
	by, err := t.ask(ctx, t.req.Link, wire.Query{IPs: ips, MAC: status.MAC, Rounds: probeRounds})
	switch {
	case ctx.Err() != nil:
		return t.over(context.Cause(ctx))
	case err != nil:
		return t.notAsked(claim, err.Error()).WithCause(err)
	case by != "":
		holder := status.Holder
		alive := problem.PreviousHolderAlive.New(by, ips[0], claim.Namespace, claim.Name, holder.PodName, holder.NodeName)
		t.says.onPod(t.req.Pod, alive)
		return alive
	default:
		if q := inquiryOf(claim, t.pool, t.req.Link); !q.strict { // which asks for more
			t.verdicts.silent(q)
		}
		return nil
	}
}

func (t *addition) notAsked(claim *v1alpha1.MacClaim, why string) *problem.Error {
	ip := "of MAC " + claim.Status.MAC
	if len(claim.Status.IPs) > 0 {
		ip = claim.Status.IPs[0]
	}
	return problem.WireNotAsked.New(ip, claim.Namespace, claim.Name, why)
}
