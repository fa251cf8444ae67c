// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

const (
	// neededSilences is how many nodes must have asked the VLAN for an address and heard nothing.
	neededSilences = 2
	// neededRounds is in how many rounds each of them must have asked.
	neededRounds = 3
)

// wireWord is what the nodes have said to the question about a holder's address.
type wireWord struct {
	// Silent are the ready nodes that have heard nothing, sorted.
	Silent []string
	// AnsweredBy is a MAC that answered, empty if none did; HeardBy the node that heard it.
	AnsweredBy, HeardBy string
	// Waited is a ready node that heard an answer to the question before and has not said yet what it hears now.
	Waited string
	// Able is how many nodes could be asked.
	Able int
	// Links : there is a link by which they can ask.
	Links bool
	// MACAlone : there is no address to ask for.
	MACAlone bool
}

// holdFacts are what a verdict on a hold rests on.
type holdFacts struct {
	Pod  podState
	Node binding.NodeState
	// Elsewhere is the node that the pod is on, of one that is elsewhere.
	Elsewhere string
	// Unknown : the pod is gone, and this process has not seen it since the hold began.
	Unknown bool
	// Cap is how many addresses a ready node may keep for unknown pods, if it has so many without this one; else 0.
	Cap int
	// Wire counts only with binding.NodeDeleted, and of unknown pods.
	Wire wireWord
	// Seen is how long this process has found Pod and Node as they are, by its own clock.
	Seen time.Duration
	// Doubted : it is written on the claim already that a ready node does not let go.
	Doubted bool
	// ToldUnknown : it is written on the claim already that the pod is unknown.
	ToldUnknown bool
	// Answered : it is written on the claim already that something answers for its address.
	Answered bool
}

// answersWords and hearsWord stand around the name of the node in a condition that says that something answers.
const answersWords, hearsWord = "answers for its address on the VLAN, as node ", " hears"

// heardBy is the node that heard something answer, by the message of a condition; empty if it says no such thing.
func heardBy(message string) string {
	_, rest, _ := strings.Cut(message, answersWords)
	node, _, _ := strings.Cut(rest, hearsWord)
	return node
}

// holdTimes are the times of verdicts.
type holdTimes struct {
	// Grace is the least time between two looks that end a hold (R-G3).
	Grace time.Duration
	// Doubt is how long a pod may be unknown before somebody is told.
	Doubt time.Duration
	// Patience is how long a ready node may take to say that the interface of a pod that is gone is gone too.
	Patience time.Duration
}

// holdVerdict is what is to be done about a hold. The zero value: nothing.
type holdVerdict struct {
	// End ends it, if it has a reason.
	End binding.End
	// Suspect is the reason of the claim's condition, and Why its words after the name of the pod; empty if nothing is
	// suspicious.
	Suspect, Why string
	// Keep leaves the words of a condition with the reason Suspect as they are.
	Keep bool
	// Again is how soon time alone may change the verdict; 0 for not at all.
	Again time.Duration
}

// judgeHold is the table of evidence (R-G4):
//
//	pod        node      verdict
//	alive      any       goes on
//	finished   ready     goes on: its node's agent has the word
//	gone       ready     goes on: its node's agent has the word; suspect after Patience
//	unknown    ready     goes on, suspect after Doubt, and the VLAN is asked; ends when two nodes have heard nothing after Patience, or
//	                     beyond the node's cap: PodUnknown
//	elsewhere  ready     suspect; ends at the second look: PodElsewhere
//	over       silent    goes on, suspect
//	over       fenced    ends at the second look: OutOfService
//	over       deleted   goes on, suspect, and the VLAN is asked; ends at the second look when two nodes have heard nothing: NodeDeleted
//
// over is finished, gone or elsewhere: where no agent can be asked, they say the same. Unknown is gone, and not seen before. That a pod is gone says nothing of its interface: an API
// that has forgotten it does not stop a node that is cut off (M15).
func judgeHold(holder *v1alpha1.Holder, f holdFacts, times holdTimes) holdVerdict {
	if f.Pod == podAlive {
		return holdVerdict{}
	}
	over := "is gone from the API"
	switch f.Pod {
	case podFinished:
		over = "has finished"
	case podElsewhere:
		over = "is on node " + f.Elsewhere + " by the API"
	default:
	}
	switch f.Node {
	case binding.NodeReady:
		left := times.Patience - f.Seen
		switch {
		case f.Pod == podElsewhere:
			return judgeElsewhere(holder, f, times)
		case f.Pod == podFinished:
			return holdVerdict{}
		case f.Unknown:
			return judgeUnknown(holder, f, times)
		case left > 0 && !f.Doubted:
			return holdVerdict{Again: left}
		default:
			return holdVerdict{
				Suspect: v1alpha1.ClaimReasonStillAttached,
				Why:     over + ", and the agent of its node has not said that its interface is, although the node is ready",
			}
		}
	case binding.NodeFenced:
		if left := times.Grace - f.Seen; left > 0 {
			return holdVerdict{Suspect: v1alpha1.ClaimReasonNodeSilent, Why: over + ", and its node does not answer", Again: left}
		}
		return holdVerdict{End: binding.End{
			Reason:   v1alpha1.EndOutOfService,
			Evidence: fmt.Sprintf("node %s is out of service by its taint, and does not answer; the pod %s", holder.NodeName, over),
		}}
	case binding.NodeDeleted:
		return judgeDeleted(holder, f, times, over)
	default:
		return holdVerdict{Suspect: v1alpha1.ClaimReasonNodeSilent, Why: over + ", and its node does not answer"}
	}
}

// judgeDeleted is judgeHold of a node that was deleted. It may have been deleted while it ran.
func judgeDeleted(holder *v1alpha1.Holder, f holdFacts, times holdTimes, over string) holdVerdict {
	v := holdVerdict{Suspect: v1alpha1.ClaimReasonNodeDeleted}
	w := f.Wire
	switch {
	case w.AnsweredBy != "":
		v.Why = over + ", its node was deleted, and " + w.AnsweredBy + " " + answersWords + w.HeardBy + hearsWord
	case w.MACAlone:
		v.Why = over + ", its node was deleted, and a MAC alone has no address for which the VLAN could be asked"
	case !w.Links:
		v.Why = over + ", its node was deleted, and no network of the pool names a link by which the VLAN could be asked"
	case len(w.Silent) >= neededSilences && w.Waited == "" && f.Seen >= times.Grace:
		return holdVerdict{End: binding.End{
			Reason: v1alpha1.EndNodeDeleted,
			Evidence: fmt.Sprintf("node %s was deleted; on the VLAN nothing answered to nodes %s in %d rounds each; the pod %s",
				holder.NodeName, strings.Join(w.Silent[:neededSilences], " and "), neededRounds, over),
		}}
	case len(w.Silent) < neededSilences && w.Able < neededSilences:
		v.Why = over + ", its node was deleted, and there are no two other nodes that could ask the VLAN for the address"
	default:
		v.Why = over + ", its node was deleted, and the VLAN is being asked whether anything answers for its address"
		v.Keep = f.Answered // until it is asked anew, that is what is known
		v.Again = max(0, times.Grace-f.Seen)
	}
	return v
}
