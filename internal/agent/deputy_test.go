// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// TestT20ForgedPod is threat T20: a wrapper of the runtime, or whoever else is root on a node, forges CNI_ARGS, to get the lease of a pod that
// it does not run. The API server is asked who the pod is and where it runs (R-C10), and the claim is looked for in the namespace of the pod
// that was found: what the request says decides nothing. The victim's claim and leases stay as they are. What cannot be told apart is
// another pod of the same node, whose interface a root of that node has in his hands as it is.
func TestT20ForgedPod(t *testing.T) {
	f, hostile, home := newFixture(t), startNode(t), startNode(t)
	victim := f.newPod(t, "db-0", home.name, "db")
	f.add(t, home, "victim", victim)
	claim, leases := f.claimOf(t, victim), f.leases(t)

	tenant := newFixture(t) // another namespace
	mine := tenant.newPod(t, "db-0", hostile.name, "db")
	beside := f.newPod(t, "web", hostile.name, "")
	third := f.newPod(t, "web-too", hostile.name, "")
	tests := map[string]struct {
		pod  agentapi.Pod
		wish agentapi.Wish
		want *problem.Kind
	}{
		"the victim, as it is":                  {podRef(victim), agentapi.Wish{}, problem.PodElsewhere},
		"the victim's names, the own UID":       {agentapi.Pod{Namespace: f.namespace, Name: victim.Name, UID: string(mine.UID)}, agentapi.Wish{}, problem.PodUnknown},
		"the victim's namespace, the own pod":   {agentapi.Pod{Namespace: f.namespace, Name: beside.Name, UID: string(mine.UID)}, agentapi.Wish{}, problem.PodUnknown},
		"the own names, the victim's UID":       {agentapi.Pod{Namespace: mine.Namespace, Name: mine.Name, UID: string(victim.UID)}, agentapi.Wish{}, problem.PodUnknown},
		"no UID, so that names may decide":      {agentapi.Pod{Namespace: f.namespace, Name: victim.Name}, agentapi.Wish{}, problem.NotAPod},
		"the own pod, the victim's claim":       {podRef(mine), agentapi.Wish{Claim: claim.Name}, problem.ClaimUnknown},
		"the own pod, a claim with a namespace": {podRef(mine), agentapi.Wish{Claim: f.namespace + "/" + claim.Name}, problem.BadAnnotation},
		"a pod beside it, the victim's claim":   {podRef(beside), agentapi.Wish{Claim: claim.Name}, problem.NotOurClaim},
		"a pod beside it, the victim's address": {podRef(beside), agentapi.Wish{IPs: []string{claim.Status.IPs[0]}}, problem.AddressTaken},
		"a pod beside it, the victim's MAC":     {podRef(third), agentapi.Wish{MAC: claim.Status.MAC}, problem.AddressTaken},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			req := f.addition("forged "+name, victim)
			req.Pod, req.Wish = tt.pod, tt.wish
			wantProblem(t, hostile.ask(t, req), tt.want)
		})
	}
	if diff := cmp.Diff(claim, f.claimOf(t, victim)); diff != "" {
		t.Errorf("the victim's claim was changed (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(leases, f.leases(t)); diff != "" {
		t.Errorf("the leases were changed (-before +after):\n%s", diff)
	}
}
