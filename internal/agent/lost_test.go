// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
)

const (
	lostLease  = "vlan-50.192.168.50.8"
	otherLease = "vlan-50.192.168.50.9"
)

// entryOf is an attached container of pod "mine" with generation 3 of claim "c".
func entryOf(change ...func(*attempt)) *attempt {
	entry := &attempt{
		ContainerID: "c1", Interface: "net1", State: attached, Claim: agentapi.ClaimRef{Namespace: "ns", Name: "db-0"}, ClaimUID: "c",
		Pod: agentapi.Pod{Namespace: "ns", Name: "db-0", UID: "mine"}, Generation: 3, Lease: &agentapi.Lease{Name: lostLease},
	}
	for _, c := range change {
		c(entry)
	}
	return entry
}

// claimWith is claim "c" with lease 8, this holder and these previous ones.
func claimWith(holder *v1alpha1.Holder, past ...v1alpha1.PreviousHolder) *v1alpha1.MacClaim {
	claim := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "db-0", UID: "c"}}
	claim.Status = v1alpha1.MacClaimStatus{LeaseName: lostLease, Holder: holder, PreviousHolders: past, Generation: 3}
	if holder != nil {
		claim.Status.Generation = holder.Generation
	}
	return claim
}

func madeAgain(c *v1alpha1.MacClaim) *v1alpha1.MacClaim { c.UID = "c2"; return c }

func withOtherLease(c *v1alpha1.MacClaim) *v1alpha1.MacClaim {
	c.Status.LeaseName = otherLease
	return c
}

func held(pod types.UID, generation int64) *v1alpha1.Holder {
	return &v1alpha1.Holder{PodName: "db-0", PodUID: pod, NodeName: "other", Generation: generation}
}

func ended(pod types.UID, generation int64, reason v1alpha1.EndReason) v1alpha1.PreviousHolder {
	return v1alpha1.PreviousHolder{PodName: "db-0", PodUID: pod, NodeName: "here", Generation: generation, Reason: reason}
}

// elsewhere is an end of what another node said.
func elsewhere(past v1alpha1.PreviousHolder) v1alpha1.PreviousHolder {
	past.NodeName = "other"
	return past
}

// TestJudgeByClaim goes through what the claim says of an interface (R-G7). Whatever is not certainly lost is kept.
func TestJudgeByClaim(t *testing.T) {
	older := func(a *attempt) { a.ClaimUID = "" }
	tests := map[string]struct {
		entry  *attempt
		claim  *v1alpha1.MacClaim
		want   verdict
		wantTo string
	}{
		"held by its pod": {entryOf(), claimWith(held("mine", 3)), keeps, ""},
		"held by its pod, which was attached again":    {entryOf(), claimWith(held("mine", 4)), keeps, ""},
		"held by its pod again, after it was forced":   {entryOf(), claimWith(held("mine", 4), ended("mine", 3, v1alpha1.EndForced)), keeps, ""},
		"held by its pod, the API is older":            {entryOf(), claimWith(held("mine", 2)), keeps, ""},
		"taken over":                                   {entryOf(), claimWith(held("q", 4), ended("mine", 3, v1alpha1.EndTakenOver)), loses, "pod ns/db-0 on node other"},
		"held by another since, much later":            {entryOf(), claimWith(held("q", 40)), loses, "pod ns/db-0 on node other"},
		"held by another since, with another lease":    {entryOf(), withOtherLease(claimWith(held("q", 4))), loses, "pod ns/db-0 on node other"},
		"held by another, the API went back in time":   {entryOf(), claimWith(held("q", 2)), keeps, ""},
		"held by another of the same generation":       {entryOf(), claimWith(held("q", 3)), keeps, ""},
		"no holder, forced":                            {entryOf(), claimWith(nil, ended("mine", 3, v1alpha1.EndForced)), loses, "nobody (Forced"},
		"no holder, out of service":                    {entryOf(), claimWith(nil, ended("mine", 3, v1alpha1.EndOutOfService)), loses, "nobody (OutOfService"},
		"no holder, node deleted":                      {entryOf(), claimWith(nil, ended("mine", 3, v1alpha1.EndNodeDeleted)), loses, "nobody (NodeDeleted"},
		"no holder, taken over by one that is gone":    {entryOf(), claimWith(nil, ended("q", 4, v1alpha1.EndAgentReport), ended("mine", 3, v1alpha1.EndTakenOver)), loses, "nobody (TakenOver"},
		"no holder, by this agent's own word":          {entryOf(), claimWith(nil, ended("mine", 3, v1alpha1.EndAgentReport)), keeps, ""},
		"no holder, forced before it was attached":     {entryOf(), claimWith(nil, ended("mine", 2, v1alpha1.EndForced)), keeps, ""},
		"no holder, another pod was forced":            {entryOf(), claimWith(nil, ended("q", 3, v1alpha1.EndForced)), keeps, ""},
		"no holder, cleared by hand":                   {entryOf(), claimWith(nil), keeps, ""},
		"no holder, reason unknown to this version":    {entryOf(), claimWith(nil, ended("mine", 3, "")), keeps, ""},
		"no holder, ended as elsewhere":                {entryOf(), claimWith(nil, ended("mine", 3, v1alpha1.EndPodElsewhere)), loses, "nobody (PodElsewhere"},
		"no holder, another node's lie was ended":      {entryOf(), claimWith(nil, elsewhere(ended("mine", 4, v1alpha1.EndPodElsewhere))), keeps, ""},
		"no holder, another lease":                     {entryOf(), withOtherLease(claimWith(nil)), asksLease, ""},
		"held by its pod, another lease":               {entryOf(), withOtherLease(claimWith(held("mine", 3))), asksLease, ""},
		"gone":                                         {entryOf(), nil, asksLease, ""},
		"made again, held by its pod":                  {entryOf(), madeAgain(claimWith(held("mine", 1))), keeps, ""},
		"made again, held by another":                  {entryOf(), madeAgain(claimWith(held("q", 1))), asksLease, ""},
		"made again, held by another, high generation": {entryOf(), madeAgain(claimWith(held("q", 9))), asksLease, ""},
		"made again, no holder":                        {entryOf(), madeAgain(claimWith(nil)), asksLease, ""},
		"journal of before, taken over":                {entryOf(older), madeAgain(claimWith(held("q", 4))), loses, "pod ns/db-0 on node other"},
		"journal of before, held by another":           {entryOf(older), madeAgain(claimWith(held("q", 1))), keeps, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, to := judgeClaim(tt.entry, tt.claim, "here")
			if got != tt.want || (tt.wantTo == "") != (to == "") || !strings.HasPrefix(to, tt.wantTo) {
				t.Errorf("got %d, %q; want %d, %q", got, to, tt.want, tt.wantTo)
			}
		})
	}
}

// TestJudgeByLease goes through what the lease says where the claim says nothing (R-G7).
func TestJudgeByLease(t *testing.T) {
	lease := func(name string, uid types.UID) *v1alpha1.MacLease {
		return &v1alpha1.MacLease{Spec: v1alpha1.MacLeaseSpec{ClaimRef: v1alpha1.ClaimRef{Namespace: "ns", Name: name, UID: uid}}}
	}
	released := lease("web", "w")
	released.Spec.ReleasedAt = new(metav1.Now())
	older := func(a *attempt) { a.ClaimUID = "" }
	tests := map[string]struct {
		entry  *attempt
		lease  *v1alpha1.MacLease
		claim  *v1alpha1.MacClaim
		want   verdict
		wantTo string
	}{
		"there is none, and no claim":                    {entryOf(), nil, nil, loses, "nobody"},
		"there is none, the claim was made again":        {entryOf(), nil, madeAgain(claimWith(nil)), keeps, ""},
		"released, and no claim":                         {entryOf(), released, nil, loses, "nobody"},
		"released, the claim was made again":             {entryOf(), released, madeAgain(claimWith(nil)), keeps, ""},
		"its own claim's, which is gone":                 {entryOf(), lease("db-0", "c"), nil, keeps, ""},
		"its own claim's, which names another":           {entryOf(), lease("db-0", "c"), withOtherLease(claimWith(nil)), keeps, ""},
		"another claim's":                                {entryOf(), lease("web", "w"), nil, loses, "claim ns/web"},
		"another claim's, its own has another":           {entryOf(), lease("web", "w"), withOtherLease(claimWith(held("mine", 3))), loses, "claim ns/web"},
		"its successor's, which has no holder":           {entryOf(), lease("db-0", "c2"), madeAgain(claimWith(nil)), keeps, ""},
		"its successor's, which its pod holds":           {entryOf(), lease("db-0", "c2"), madeAgain(claimWith(held("mine", 1))), keeps, ""},
		"its successor's, which another pod holds":       {entryOf(), lease("db-0", "c2"), madeAgain(claimWith(held("q", 1))), loses, "pod ns/db-0"},
		"its successor's, forced from its pod":           {entryOf(), lease("db-0", "c2"), madeAgain(claimWith(nil, ended("mine", 1, v1alpha1.EndForced))), loses, "nobody (Forced"},
		"its successor's, which is gone":                 {entryOf(), lease("db-0", "c2"), nil, keeps, ""},
		"a successor's, and there is another one by now": {entryOf(), lease("db-0", "c1"), madeAgain(claimWith(held("q", 1))), keeps, ""},
		"journal of before, of the identity":             {entryOf(older), lease("db-0", "c2"), madeAgain(claimWith(held("q", 1))), keeps, ""},
		"journal of before, another claim's":             {entryOf(older), lease("web", "w"), nil, loses, "claim ns/web"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, to := judgeLease(tt.entry, tt.lease, tt.claim, "here")
			if got != tt.want || (tt.wantTo == "") != (to == "") || !strings.HasPrefix(to, tt.wantTo) {
				t.Errorf("got %d, %q; want %d, %q", got, to, tt.want, tt.wantTo)
			}
		})
	}
}
