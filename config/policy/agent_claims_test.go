// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// workloadClaim makes a claim as macpool makes it for a pod, which holds it on a node, or nobody does.
func workloadClaim(t *testing.T, name, node string) *v1alpha1.MacClaim {
	t.Helper()
	claim := newClaim(name)
	claim.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	claim.Spec.Workload = &v1alpha1.Workload{Kind: v1alpha1.WorkloadStatefulSet, Name: "db", Ordinal: new(int32(0)), Interface: "net1"}
	if err := api.Create(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unhold(t, claim); _ = api.Delete(context.Background(), claim) })
	claim.Status = v1alpha1.MacClaimStatus{LeaseName: "vlan-60.192.168.60.30", MAC: "02:3c:00:a8:3c:1e", IPs: []string{"192.168.60.30"}, Generation: 1}
	if node != "" {
		claim.Status.Holder = holderOn(node, "db-0")
	}
	if err := api.Status().Update(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	return claim
}

func holderOn(node, pod string) *v1alpha1.Holder {
	return &v1alpha1.Holder{
		PodName: pod, PodUID: types.UID("uid-of-" + pod), NodeName: node, Interface: "net1", Generation: 1, Since: metav1.Now().Rfc3339Copy(),
	}
}

// cleared ends the hold of a claim, for a reason.
func cleared(s *v1alpha1.MacClaimStatus, reason v1alpha1.EndReason) {
	h := s.Holder
	s.PreviousHolders = append([]v1alpha1.PreviousHolder{{
		PodName: h.PodName, PodUID: h.PodUID, NodeName: h.NodeName, Generation: h.Generation, Since: h.Since, Until: metav1.Now().Rfc3339Copy(), Reason: reason,
	}}, s.PreviousHolders...)
	s.Holder = nil
}

// TestAgentsClaimStatus is R-S2 for the status of claims: what the agent of node-a may say of one that is held on a node.
func TestAgentsClaimStatus(t *testing.T) {
	hold := func(node string) func(*v1alpha1.MacClaimStatus) {
		return func(s *v1alpha1.MacClaimStatus) {
			s.Generation++
			s.Holder = holderOn(node, "db-0-new")
			s.Holder.Generation = s.Generation
		}
	}
	ends := func(s *v1alpha1.MacClaimStatus) { cleared(s, v1alpha1.EndAgentReport) }
	takeOver := func(reason v1alpha1.EndReason, node string) func(*v1alpha1.MacClaimStatus) {
		return func(s *v1alpha1.MacClaimStatus) { cleared(s, reason); hold(node)(s) }
	}
	unbind := func(s *v1alpha1.MacClaimStatus) {
		ends(s)
		s.LeaseName, s.MAC, s.IPs = "", "", nil
	}
	unbound := func(s *v1alpha1.MacClaimStatus) { s.LeaseName, s.MAC, s.IPs, s.Holder = "", "", nil, nil }
	bind := func(node string) func(*v1alpha1.MacClaimStatus) {
		return func(s *v1alpha1.MacClaimStatus) {
			s.LeaseName, s.MAC, s.IPs = "vlan-60.192.168.60.31", "02:3c:00:a8:3c:1f", []string{"192.168.60.31"}
			s.Conditions = []metav1.Condition{condition(v1alpha1.ClaimReady, metav1.ConditionTrue)}
			if node != "" {
				hold(node)(s)
			}
		}
	}
	past := func(s *v1alpha1.MacClaimStatus) {
		s.PreviousHolders = []v1alpha1.PreviousHolder{{
			PodName: "db-0", PodUID: "old", NodeName: "node-b", Generation: 1, Since: metav1.Now().Rfc3339Copy(), Until: metav1.Now().Rfc3339Copy(), Reason: v1alpha1.EndAgentReport,
		}}
	}
	suspect := func(s *v1alpha1.MacClaimStatus) {
		s.Conditions = []metav1.Condition{condition(v1alpha1.ClaimSuspect, metav1.ConditionTrue)}
	}
	successor := func(node string) func(*v1alpha1.MacClaimStatus) {
		return func(s *v1alpha1.MacClaimStatus) {
			s.Successor = &v1alpha1.Successor{PodName: "next", PodUID: "next", NodeName: node}
		}
	}
	withAlternate := func(node string) func(*v1alpha1.MacClaimStatus) {
		return func(s *v1alpha1.MacClaimStatus) {
			s.Generation++
			s.Alternate = holderOn(node, "launcher-2")
			s.Alternate.Generation = s.Generation
			s.Holder.InstanceUID, s.Alternate.InstanceUID = "vm", "vm"
		}
	}
	vm := func(s *v1alpha1.MacClaimStatus) { s.Holder.InstanceUID = "vm" }
	promote := func(s *v1alpha1.MacClaimStatus) { ends(s); s.Holder, s.Alternate = s.Alternate, nil }
	nothing := func(*v1alpha1.MacClaimStatus) {}

	for name, tc := range map[string]struct {
		node    string // of the holder
		is      func(*v1alpha1.MacClaimStatus)
		becomes func(*v1alpha1.MacClaimStatus)
		preempt bool
		allowed bool
	}{
		"its pod's hold ends":                         {node: "node-a", is: nothing, becomes: ends, allowed: true},
		"its pod's hold ends without a word":          {node: "node-a", is: nothing, becomes: func(s *v1alpha1.MacClaimStatus) { s.Holder = nil }, allowed: true},
		"its pod's hold ends, and the doubt about it": {node: "node-a", is: suspect, becomes: func(s *v1alpha1.MacClaimStatus) { ends(s); s.Conditions = nil }, allowed: true},
		"its pod's hold is renewed":                   {node: "node-a", is: nothing, becomes: func(s *v1alpha1.MacClaimStatus) { s.Generation, s.Holder.Generation = 2, 2 }, allowed: true},
		"its pod's hold goes back":                    {node: "node-a", is: nothing, becomes: func(s *v1alpha1.MacClaimStatus) { s.Generation, s.Holder.Generation = 0, 1 }},
		"its pod goes to another node":                {node: "node-a", is: nothing, becomes: func(s *v1alpha1.MacClaimStatus) { s.Holder.NodeName = "node-b" }},
		"another's hold ends":                         {node: "node-b", is: nothing, becomes: ends},
		"another's hold ends without a word":          {node: "node-b", is: nothing, becomes: func(s *v1alpha1.MacClaimStatus) { s.Holder = nil }},
		"another's pod comes to it":                   {node: "node-b", is: nothing, becomes: func(s *v1alpha1.MacClaimStatus) { s.Holder.NodeName = "node-a" }},
		"nobody's is held":                            {is: nothing, becomes: hold("node-a"), allowed: true},
		"nobody's is held by another":                 {is: nothing, becomes: hold("node-b")},
		"another's is taken over":                     {node: "node-b", is: nothing, becomes: takeOver(v1alpha1.EndTakenOver, "node-a"), allowed: true},
		"another's is taken over for a third":         {node: "node-b", is: nothing, becomes: takeOver(v1alpha1.EndTakenOver, "node-c")},
		"another's is taken over by that one's word":  {node: "node-b", is: nothing, becomes: takeOver(v1alpha1.EndAgentReport, "node-a")},
		"another's is taken over by force":            {node: "node-b", is: nothing, becomes: takeOver(v1alpha1.EndForced, "node-a")},
		"another's is taken over in silence":          {node: "node-b", is: nothing, becomes: hold("node-a")},
		"another's is taken over in one generation": {node: "node-b", is: nothing, becomes: func(s *v1alpha1.MacClaimStatus) {
			takeOver(v1alpha1.EndTakenOver, "node-a")(s)
			s.Generation--
		}},
		"a VM's is taken over": {node: "node-b", is: withAlternate("node-c"), becomes: func(s *v1alpha1.MacClaimStatus) {
			takeOver(v1alpha1.EndTakenOver, "node-a")(s)
			s.Alternate = nil
		}},

		"a claim is bound for its pod":          {is: unbound, becomes: bind("node-a"), allowed: true},
		"a claim is bound for another's":        {is: unbound, becomes: bind("node-b")},
		"a claim is bound for nobody":           {is: unbound, becomes: bind("")},
		"its pod's claim gets another lease":    {node: "node-a", is: nothing, becomes: func(s *v1alpha1.MacClaimStatus) { s.LeaseName = "vlan-60.192.168.60.99" }},
		"its pod's claim gets another MAC":      {node: "node-a", is: nothing, becomes: func(s *v1alpha1.MacClaimStatus) { s.MAC = "02:3c:00:a8:3c:99" }},
		"its pod's claim gets another address":  {node: "node-a", is: nothing, becomes: func(s *v1alpha1.MacClaimStatus) { s.IPs = []string{"192.168.60.99"} }},
		"its pod's claim is unbound":            {node: "node-a", is: nothing, becomes: unbind, allowed: true},
		"another's claim is unbound":            {node: "node-b", is: nothing, becomes: unbind},
		"nobody's claim is unbound":             {is: nothing, becomes: func(s *v1alpha1.MacClaimStatus) { s.LeaseName, s.MAC, s.IPs = "", "", nil }},
		"the past is forgotten":                 {node: "node-a", is: past, becomes: func(s *v1alpha1.MacClaimStatus) { s.PreviousHolders = nil }},
		"the past is written anew":              {node: "node-a", is: past, becomes: func(s *v1alpha1.MacClaimStatus) { s.PreviousHolders[0].Reason = v1alpha1.EndForced }},
		"somebody gets a past":                  {node: "node-a", is: nothing, becomes: past},
		"its pod is doubted":                    {node: "node-a", is: nothing, becomes: suspect},
		"its pod is not doubted any more":       {node: "node-a", is: suspect, becomes: func(s *v1alpha1.MacClaimStatus) { s.Conditions = nil }},
		"another's pod is not doubted any more": {node: "node-b", is: suspect, becomes: func(s *v1alpha1.MacClaimStatus) { s.Conditions = nil }},

		"its pod is the next":                     {node: "node-b", is: nothing, becomes: successor("node-a"), preempt: true, allowed: true},
		"its pod is the next, but who has it may": {node: "node-b", is: nothing, becomes: successor("node-a")},
		"another's pod is the next":               {node: "node-a", is: nothing, becomes: successor("node-b"), preempt: true},
		"the next of its pod is not waited for":   {node: "node-a", is: successor("node-b"), becomes: func(s *v1alpha1.MacClaimStatus) { s.Successor = nil }, preempt: true, allowed: true},
		"the next of nobody is not waited for":    {is: successor("node-b"), becomes: func(s *v1alpha1.MacClaimStatus) { s.Successor = nil }, preempt: true, allowed: true},
		"the next of another is not waited for":   {node: "node-b", is: successor("node-c"), becomes: func(s *v1alpha1.MacClaimStatus) { s.Successor = nil }, preempt: true},
		"it does not wait any more":               {node: "node-b", is: successor("node-a"), becomes: func(s *v1alpha1.MacClaimStatus) { s.Successor = nil }, preempt: true, allowed: true},

		"a VM comes to it":             {node: "node-b", is: vm, becomes: withAlternate("node-a"), allowed: true},
		"a VM comes to another":        {node: "node-b", is: vm, becomes: withAlternate("node-c")},
		"a VM has left it for another": {node: "node-a", is: withAlternate("node-b"), becomes: promote, allowed: true},
		"a VM has left another for it": {node: "node-b", is: withAlternate("node-a"), becomes: promote},
	} {
		t.Run(name, func(t *testing.T) {
			claim := workloadClaim(t, "status", tc.node)
			if tc.preempt {
				claim.Spec.Handover = v1alpha1.HandoverPreempt
				if err := api.Update(t.Context(), claim); err != nil {
					t.Fatal(err)
				}
			}
			tc.is(&claim.Status)
			if err := api.Status().Update(t.Context(), claim); err != nil {
				t.Fatal(err)
			}
			changed := claim.DeepCopy()
			tc.becomes(&changed.Status)
			what := "UPDATE of claim default/status"
			dry := &client.SubResourceUpdateOptions{UpdateOptions: client.UpdateOptions{DryRun: []string{metav1.DryRunAll}}}
			checkAgent(t, asAgent(t, "node-a").Status().Update(t.Context(), changed.DeepCopy(), dry), tc.allowed, "node node-a", what)
			checkAgent(t, asAgent(t, "").Status().Update(t.Context(), changed.DeepCopy(), dry), false, "no node", what)
		})
	}
}

func condition(kind string, status metav1.ConditionStatus) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: "Test", LastTransitionTime: metav1.Now().Rfc3339Copy()}
}

// TestAgentsNewClaims is R-S2 for claims that agents make: such as macpool makes for pods.
func TestAgentsNewClaims(t *testing.T) {
	for name, tc := range map[string]struct {
		change  func(*v1alpha1.MacClaim)
		allowed bool
	}{
		"for a workload":      {func(*v1alpha1.MacClaim) {}, true},
		"for nobody":          {func(c *v1alpha1.MacClaim) { c.Spec.Workload = nil }, false},
		"a person's":          {func(c *v1alpha1.MacClaim) { c.Labels = nil }, false},
		"that is kept long":   {func(c *v1alpha1.MacClaim) { c.Spec.Retain = new(metav1.Duration) }, false},
		"that pushes":         {func(c *v1alpha1.MacClaim) { c.Spec.Handover = v1alpha1.HandoverPreempt }, false},
		"that forces":         {func(c *v1alpha1.MacClaim) { c.Annotations = map[string]string{v1alpha1.AnnotationForceRelease: "mine"} }, false},
		"that keeps from end": {func(c *v1alpha1.MacClaim) { c.Finalizers = []string{"example.com/mine"} }, false},
		"of an owner": {func(c *v1alpha1.MacClaim) {
			c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "x", UID: "1-2"}}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			claim := newClaim("new")
			claim.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
			claim.Spec.Workload = &v1alpha1.Workload{Kind: v1alpha1.WorkloadStatefulSet, Name: "db", Ordinal: new(int32(0)), Interface: "net1"}
			tc.change(claim)
			checkAgent(t, asAgent(t, "node-a").Create(t.Context(), claim.DeepCopy(), client.DryRunAll), tc.allowed, "node node-a", "CREATE of claim default/new")
			checkAgent(t, asAgent(t, "").Create(t.Context(), claim.DeepCopy(), client.DryRunAll), false, "no node", "CREATE of claim default/new")
		})
	}
}
