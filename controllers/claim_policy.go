// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
)

// podState is what is known of the pod of a workload.
type podState int

const (
	// podGone : there is no pod of that name.
	podGone podState = iota
	// podFinished : its containers have ended for good.
	podFinished
	// podAlive : it runs, or may yet.
	podAlive
	// podElsewhere : it is on another node than its hold says. Only of holds.
	podElsewhere
)

// lifeInput is what the life of a claim depends on.
type lifeInput struct {
	// Managed: macpool made the claim.
	Managed bool
	Kind    v1alpha1.WorkloadKind
	// Held: the claim has a holder.
	Held bool
	Pod  podState
	// Superseded: a person has made a claim for the same workload, which its next pod gets.
	Superseded bool
	// SetExists: there is a StatefulSet, or a VM, of the workload's name, or the IPAMClaim that the claim was made for.
	SetExists bool
	// Retain is how long the claim is kept after its workload.
	Retain time.Duration
	// EndedAt is when the workload was first seen gone, zero if it was not.
	EndedAt time.Time
	Now     time.Time
}

// life is a verdict on a claim.
type life struct {
	// Ended: the workload is gone and nothing holds the lease.
	Ended bool
	// Remove: it has been so for long enough.
	Remove bool
	// Left is how long to wait before Remove.
	Left time.Duration
	// Superseded: it has because of another claim, and not because of what was not found.
	Superseded bool
	// Alive: the workload was found.
	Alive bool
	// Look: it was found by a look that no event repeats.
	Look bool
	// Absent: that it is gone rests on what a read did not find. A pod that has finished was found.
	Absent bool
}

// judgeLife decides whether a claim has outlived its workload. In order:
//
//  1. a claim of a person lives until that person deletes it;
//  2. a claim with a holder lives: something may still send frames with its address;
//  3. a claim in whose place a person has made another has ended, and is removed when retain has passed;
//  4. a claim whose pod is alive lives, whatever has become of the pod's owner;
//  5. a claim of a StatefulSet lives while the set exists, scaled down or not; that of a VM while the VM does, stopped or not; that of
//     an IPAMClaim while that does;
//  6. any other has ended too: of a workload whose pods are alike, one that no pod holds or waits for; it is not asked whether the
//     workload is there, since it needs as many claims as it has pods.
func judgeLife(in lifeInput) life {
	switch {
	case !in.Managed, in.Held:
		return life{}
	case in.Superseded:
	case in.Pod == podAlive:
		return life{}
	case in.Kind == v1alpha1.WorkloadStatefulSet, in.Kind == v1alpha1.WorkloadVM, in.Kind == ofIPAMClaim:
		if in.SetExists {
			return life{}
		}
	}
	if in.EndedAt.IsZero() {
		return life{Ended: true, Superseded: in.Superseded, Remove: in.Retain <= 0, Left: in.Retain}
	}
	left := in.Retain - in.Now.Sub(in.EndedAt)
	return life{Ended: true, Superseded: in.Superseded, Remove: left <= 0, Left: max(left, 0)}
}

// ofIPAMClaim is the kind, as far as its life goes, of a claim without workload that was made for an IPAMClaim.
const ofIPAMClaim v1alpha1.WorkloadKind = "IPAMClaim"
