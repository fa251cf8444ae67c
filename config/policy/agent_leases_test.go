// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/accesstest"
	"github.com/macpool/macpool/internal/problem"
)

// asAgent is a client in the name of the agent of a node.
func asAgent(t *testing.T, node string) client.Client {
	t.Helper()
	c, err := client.New(accesstest.AsAgent(server.Config, node), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newLease is the lease of an address by claim default/db-0, whose pod is on a node, or on none.
func newLease(ip, node string) *v1alpha1.MacLease {
	lease := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: "vlan-60." + ip}}
	lease.Spec = v1alpha1.MacLeaseSpec{
		PoolName: "iot", MAC: "02:3c:00:a8:3c:0a", IPs: []v1alpha1.IPAddress{v1alpha1.IPAddress(ip)}, NodeName: node,
		ClaimRef: v1alpha1.ClaimRef{Namespace: "default", Name: "db-0", UID: "1-2"}, LeasedAt: metav1.Now().Rfc3339Copy(),
	}
	return lease
}

// Ways in which a lease is, or becomes.
func released(l *v1alpha1.MacLease) {
	l.Spec.History = []v1alpha1.LeaseHistory{{
		Namespace: l.Spec.ClaimRef.Namespace, Claim: l.Spec.ClaimRef.Name, From: l.Spec.LeasedAt, To: metav1.Now().Rfc3339Copy(),
	}}
	l.Spec.ReleasedAt, l.Spec.NodeName = new(metav1.Now().Rfc3339Copy()), ""
}

func reusable(l *v1alpha1.MacLease) { released(l); l.Spec.ReusableAt = l.Spec.ReleasedAt }

func conflicted(l *v1alpha1.MacLease) {
	l.Spec.Conflict = &v1alpha1.Conflict{MAC: "52:54:00:00:00:01", NodeName: "node-a", SeenAt: metav1.Now().Rfc3339Copy()}
}

func takenBy(namespace, name, node string) func(*v1alpha1.MacLease) {
	return func(l *v1alpha1.MacLease) {
		l.Spec.ClaimRef = v1alpha1.ClaimRef{Namespace: namespace, Name: name, UID: "3-4"}
		l.Spec.NodeName, l.Spec.ReleasedAt, l.Spec.ReusableAt = node, nil, nil
	}
}

func all(changes ...func(*v1alpha1.MacLease)) func(*v1alpha1.MacLease) {
	return func(l *v1alpha1.MacLease) {
		for _, change := range changes {
			change(l)
		}
	}
}

// TestAgentsLeases is R-S2 for leases: what the agent of node-a may make of one.
func TestAgentsLeases(t *testing.T) {
	touched := func(l *v1alpha1.MacLease) { l.Spec.LeasedAt = metav1.NewTime(l.Spec.LeasedAt.Add(time.Second)) }
	to := func(node string) func(*v1alpha1.MacLease) {
		return func(l *v1alpha1.MacLease) { l.Spec.NodeName = node }
	}
	asItWas := func(*v1alpha1.MacLease) {}
	for name, tc := range map[string]struct {
		node    string // of the lease, as it is
		is      func(*v1alpha1.MacLease)
		becomes func(*v1alpha1.MacLease)
		allowed bool
	}{
		"its own is written again":               {node: "node-a", is: asItWas, becomes: touched, allowed: true},
		"its own has a stranger":                 {node: "node-a", is: asItWas, becomes: conflicted, allowed: true},
		"its own has a stranger and is released": {node: "node-a", is: asItWas, becomes: all(conflicted, released), allowed: true},
		"its own is released":                    {node: "node-a", is: asItWas, becomes: released, allowed: true},
		"its own goes to another namespace":      {node: "node-a", is: asItWas, becomes: takenBy("other", "db-0", "node-a")},
		"its own goes to another claim":          {node: "node-a", is: asItWas, becomes: takenBy("default", "db-1", "node-a")},
		"its own goes to its claim's successor":  {node: "node-a", is: asItWas, becomes: takenBy("default", "db-0", "node-a"), allowed: true},
		"its own goes to another node":           {node: "node-a", is: asItWas, becomes: to("node-b")},
		"its own goes to no node":                {node: "node-a", is: asItWas, becomes: to("")},
		"its own is without a stranger again":    {node: "node-a", is: conflicted, becomes: func(l *v1alpha1.MacLease) { l.Spec.Conflict = nil }},
		"its own gets a finalizer":               {node: "node-a", is: asItWas, becomes: func(l *v1alpha1.MacLease) { l.Finalizers = []string{"example.com/mine"} }},
		"its own gets an owner": {node: "node-a", is: asItWas, becomes: func(l *v1alpha1.MacLease) {
			l.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "node-a", UID: "1-2"}}
		}},
		"another's is written again":            {node: "node-b", is: asItWas, becomes: touched},
		"another's is released":                 {node: "node-b", is: asItWas, becomes: released},
		"another's has a stranger":              {node: "node-b", is: asItWas, becomes: conflicted},
		"another's goes to it":                  {node: "node-b", is: asItWas, becomes: to("node-a")},
		"no node's is written again":            {is: asItWas, becomes: touched},
		"no node's goes to it":                  {is: asItWas, becomes: to("node-a")},
		"no node's is released":                 {is: asItWas, becomes: released},
		"one that cools is taken by its claim":  {node: "node-b", is: released, becomes: takenBy("default", "db-0", "node-a"), allowed: true},
		"one that cools is taken by another":    {node: "node-b", is: released, becomes: takenBy("default", "db-1", "node-a")},
		"one that cools is called reusable":     {node: "node-a", is: released, becomes: reusable},
		"a reusable one is taken":               {node: "node-b", is: reusable, becomes: takenBy("other", "web", "node-a"), allowed: true},
		"a reusable one is taken for another":   {node: "node-b", is: reusable, becomes: takenBy("other", "web", "node-b")},
		"a reusable one with a stranger":        {node: "node-b", is: all(reusable, conflicted), becomes: takenBy("other", "web", "node-a")},
		"what was taken is left as it was":      {node: "node-b", is: all(reusable, takenBy("other", "web", "node-a")), becomes: func(l *v1alpha1.MacLease) { back(l, "default", "db-0") }, allowed: true},
		"what was taken is left to somebody":    {node: "node-b", is: all(reusable, takenBy("other", "web", "node-a")), becomes: func(l *v1alpha1.MacLease) { back(l, "third", "x") }},
		"what another took is left as it was":   {node: "node-b", is: all(reusable, takenBy("other", "web", "node-b")), becomes: func(l *v1alpha1.MacLease) { back(l, "default", "db-0") }},
		"its own is reusable without a history": {node: "node-a", is: asItWas, becomes: func(l *v1alpha1.MacLease) { back(l, "default", "db-0") }},
	} {
		t.Run(name, func(t *testing.T) {
			lease := newLease("192.168.60.20", tc.node)
			tc.is(lease)
			if err := api.Create(t.Context(), lease); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = api.Delete(t.Context(), lease) }()
			changed := lease.DeepCopy()
			tc.becomes(changed)
			checkAgent(t, asAgent(t, "node-a").Update(t.Context(), changed, client.DryRunAll), tc.allowed, "node node-a", "UPDATE of lease "+lease.Name)
			checkAgent(t, asAgent(t, "").Update(t.Context(), changed, client.DryRunAll), false, "no node", "UPDATE of lease "+lease.Name)
		})
	}
}

// back has a lease be the record that it was when it was reusable.
func back(l *v1alpha1.MacLease, namespace, name string) {
	l.Spec.ClaimRef = v1alpha1.ClaimRef{Namespace: namespace, Name: name, UID: "1-2"}
	l.Spec.NodeName, l.Spec.ReleasedAt = "", new(metav1.Now().Rfc3339Copy())
	l.Spec.ReusableAt = l.Spec.ReleasedAt
}

// TestAgentsNewLeases is R-S2 for leases that the agent of node-a makes, or deletes.
func TestAgentsNewLeases(t *testing.T) {
	a := asAgent(t, "node-a")
	for name, tc := range map[string]struct {
		node    string
		change  func(*v1alpha1.MacLease)
		allowed bool
	}{
		"for its node":        {"node-a", all(), true},
		"for another":         {"node-b", all(), false},
		"for none":            {"", all(), false},
		"released":            {"node-a", reusable, false},
		"with a stranger":     {"node-a", conflicted, false},
		"that keeps from end": {"node-a", func(l *v1alpha1.MacLease) { l.Finalizers = []string{"example.com/mine"} }, false},
	} {
		lease := newLease("192.168.60.21", tc.node)
		tc.change(lease)
		checkAgent(t, a.Create(t.Context(), lease.DeepCopy(), client.DryRunAll), tc.allowed, "node node-a", "CREATE of lease "+lease.Name)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	for node, allowed := range map[string]bool{"node-a": true, "node-b": false, "": false} {
		lease := newLease("192.168.60.22", node)
		if err := api.Create(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		checkAgent(t, a.Delete(t.Context(), lease, client.DryRunAll), allowed, "node node-a", "DELETE of lease "+lease.Name)
		if err := api.Delete(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
	}
}

// checkAgent checks what an agent's write came to.
func checkAgent(t *testing.T, err error, allowed bool, token, what string) {
	t.Helper()
	if !allowed {
		checkForbidden(t, err, problem.NotItsNode.New(token, what))
	} else if err != nil {
		t.Error(err)
	}
}
