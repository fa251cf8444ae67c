// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/network"
)

// factsOf are the facts about the holder of a claim, which was read before (R-G2). Annotations and labels of pods are none of
// them, but those by which the mirror of a static pod names its UID (R-S5, M03).
func (r *HolderReconciler) factsOf(ctx context.Context, reader client.Reader, claim *v1alpha1.MacClaim) (holdFacts, error) {
	holder := claim.Status.Holder
	facts := holdFacts{Pod: podGone}
	pod, err := podOfHolder(ctx, reader, claim)
	if err == nil && pod != nil && pod.Spec.NodeName == "" { // of one without networks the cache has no more than the name
		pod, err = podOfHolder(ctx, r.APIReader, claim)
	}
	if err != nil {
		return holdFacts{}, err
	}
	if pod != nil {
		facts.Pod = stateOf(pod)
		if isElsewhere(pod, holder) {
			facts.Pod, facts.Elsewhere = podElsewhere, pod.Spec.NodeName
		}
	}
	if facts.Pod == podAlive {
		r.looks.seen(client.ObjectKeyFromObject(claim), facts.look(claim), r.Clock.Now())
		return facts, nil
	}
	node, err := nodeOf(ctx, reader, holder.NodeName)
	if err != nil {
		return holdFacts{}, err
	}
	facts.Node = binding.StateOfNode(node, holder)
	known := suspicion(claim)
	facts.Doubted, facts.ToldUnknown = known.Reason == v1alpha1.ClaimReasonStillAttached, known.Reason == v1alpha1.ClaimReasonPodUnknown
	facts.Answered = heardBy(known.Message) != ""
	var met bool
	facts.Seen, met = r.looks.seen(client.ObjectKeyFromObject(claim), facts.look(claim), r.Clock.Now())
	facts.Unknown = facts.Pod == podGone && facts.Node == binding.NodeReady && !facts.Doubted && (facts.ToldUnknown || !met)
	if facts.Unknown {
		if facts.Cap, err = r.beyondCap(ctx, node, claim); err != nil {
			return holdFacts{}, err
		}
	}
	if facts.Unknown || facts.Node == binding.NodeDeleted {
		facts.Wire, err = r.wordOf(ctx, reader, claim)
	}
	return facts, err
}

// look is what was found, to be compared with what is found later.
func (f holdFacts) look(claim *v1alpha1.MacClaim) holdLook {
	holder := claim.Status.Holder
	return holdLook{claim: claim.UID, pod: holder.PodUID, generation: holder.Generation, podState: f.Pod, node: f.Node}
}

// isElsewhere tells whether the pod of a holder is on another node than that says. One that is on no node yet may still come to this one.
func isElsewhere(pod *corev1.Pod, holder *v1alpha1.Holder) bool {
	return pod.Spec.NodeName != "" && pod.Spec.NodeName != holder.NodeName
}

// podOfHolder is the pod that holds the claim, nil if it is gone. One of its name with another UID is another pod (M04).
func podOfHolder(ctx context.Context, reader client.Reader, claim *v1alpha1.MacClaim) (*corev1.Pod, error) {
	return podOf(ctx, reader, claim.Namespace, claim.Status.Holder)
}

// podOf is the pod of a holder, nil if it is gone.
func podOf(ctx context.Context, reader client.Reader, namespace string, holder *v1alpha1.Holder) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	key := client.ObjectKey{Namespace: namespace, Name: holder.PodName}
	err := reader.Get(ctx, key, pod)
	switch {
	case apierrors.IsNotFound(err), err == nil && binding.PodUID(pod) != holder.PodUID:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading pod %s: %w", key, err)
	default:
		return pod, nil
	}
}

// nodeOf is a Node, nil if there is none.
func nodeOf(ctx context.Context, reader client.Reader, name string) (*corev1.Node, error) {
	node := &corev1.Node{}
	err := reader.Get(ctx, client.ObjectKey{Name: name}, node)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading node %s: %w", name, err)
	default:
		return node, nil
	}
}

// wordOf is what the nodes have said to the question that the claim's pool asks about this hold; an answer to an earlier question says
// nothing. Silence counts only from a node that is ready, and not from the holder's own, made again under its name: a machine
// may not hear the interfaces on its own link. A node that heard an answer to the question before must say itself that it hears none
// now: others may be on the wrong side of a trunk that is out.
func (r *HolderReconciler) wordOf(ctx context.Context, reader client.Reader, claim *v1alpha1.MacClaim) (wireWord, error) {
	if len(claim.Status.IPs) == 0 {
		return wireWord{MACAlone: true}, nil
	}
	question, err := questionOf(ctx, reader, claim)
	if err != nil {
		return wireWord{}, err
	}
	word := wireWord{Links: question != nil}
	if question == nil {
		// It will be asked if it can be. That decides about words only.
		var networks nadv1.NetworkAttachmentDefinitionList
		if err := r.Client.List(ctx, &networks, askedByPool.is(claim.Spec.PoolRef.Name), client.UnsafeDisableDeepCopy); err != nil {
			return wireWord{}, fmt.Errorf("listing the networks of pool %s: %w", claim.Spec.PoolRef.Name, err)
		}
		pool := &v1alpha1.MacPool{}
		if err := client.IgnoreNotFound(r.Client.Get(ctx, client.ObjectKey{Name: claim.Spec.PoolRef.Name}, pool)); err != nil {
			return wireWord{}, fmt.Errorf("reading pool %s: %w", claim.Spec.PoolRef.Name, err)
		}
		word.Links = len(network.LinksTo(pool, networks.Items)) > 0
	}
	var nodes v1alpha1.MacNodeList
	if err := reader.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return wireWord{}, fmt.Errorf("listing what nodes report: %w", err)
	}
	heard := heardBy(suspicion(claim).Message)
	slices.SortFunc(nodes.Items, func(a, b v1alpha1.MacNode) int { return strings.Compare(a.Name, b.Name) })
	for i := range nodes.Items {
		reporter := &nodes.Items[i]
		answer := answerTo(question, reporter)
		if answer != nil && answer.AnsweredBy != "" && word.AnsweredBy == "" {
			word.AnsweredBy, word.HeardBy = answer.AnsweredBy, reporter.Name
		}
		if reporter.Name == claim.Status.Holder.NodeName {
			continue
		}
		enough := len(word.Silent) >= neededSilences && word.Able >= neededSilences
		silent := answer != nil && answer.AnsweredBy == "" && answer.Rounds >= neededRounds
		waited := !silent && reporter.Name == heard
		if !waited && (enough || !silent && word.Able >= neededSilences) {
			continue // whether it is ready changes nothing
		}
		node, err := nodeOf(ctx, reader, reporter.Name)
		if err != nil {
			return wireWord{}, err
		}
		if node == nil || !binding.IsReadyNode(node) {
			continue
		}
		if waited {
			word.Waited = reporter.Name
		}
		word.Able++
		if silent {
			word.Silent = append(word.Silent, reporter.Name)
		}
	}
	return word, nil
}

// questionOf is the question about the hold, nil if it is not asked.
func questionOf(ctx context.Context, reader client.Reader, claim *v1alpha1.MacClaim) (*v1alpha1.WireQuestion, error) {
	pool := &v1alpha1.MacPool{}
	if err := reader.Get(ctx, client.ObjectKey{Name: claim.Spec.PoolRef.Name}, pool); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading pool %s: %w", claim.Spec.PoolRef.Name, err)
	}
	i := slices.IndexFunc(pool.Status.Questions, func(q v1alpha1.WireQuestion) bool {
		return q.LeaseName == claim.Status.LeaseName && q.PodUID == claim.Status.Holder.PodUID
	})
	if i < 0 {
		return nil, nil
	}
	return &pool.Status.Questions[i], nil
}

// answerTo is what a node has answered to a question, nil if it has not.
func answerTo(question *v1alpha1.WireQuestion, node *v1alpha1.MacNode) *v1alpha1.WireAnswer {
	if question == nil {
		return nil
	}
	i := slices.IndexFunc(node.Status.Answers, func(a v1alpha1.WireAnswer) bool {
		return a.LeaseName == question.LeaseName && a.AskedAt.Equal(&question.AskedAt)
	})
	if i < 0 {
		return nil
	}
	return &node.Status.Answers[i]
}
