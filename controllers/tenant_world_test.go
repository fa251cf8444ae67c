// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"slices"

	"github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// person is the API server as somebody sees it to whom a ClusterRole is bound.
type person struct {
	client.Client

	name string
}

// bind makes a person of a ClusterRole: in a namespace, or in the whole cluster if that is "". The role is in force when it returns.
func (w *world) bind(role, namespace string) person {
	w.t.Helper()
	p := person{name: fmt.Sprintf("person-%d", unique.Add(1))}
	config := rest.CopyConfig(w.api.admin)
	config.Impersonate = rest.ImpersonationConfig{UserName: p.name, Groups: []string{"system:authenticated"}}
	var err error
	if p.Client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		w.t.Fatal(err)
	}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: p.name}}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
	if namespace == "" {
		w.create(&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: p.name}, RoleRef: ref, Subjects: subjects})
	} else {
		w.create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: p.name, Namespace: namespace}, RoleRef: ref, Subjects: subjects})
	}
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.may(p, "get", thing{group: v1alpha1.GroupVersion.Group, name: "macclaims", namespace: namespace})).To(gomega.BeTrue())
	})
	return p
}

// thing is what a person may do something with.
type thing struct{ group, name, subresource, namespace string }

// may tells whether the API server allows a person something.
func (w *world) may(p person, verb string, r thing) bool {
	w.t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: p.name, Groups: []string{"system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Group: r.group, Resource: r.name, Subresource: r.subresource, Namespace: r.namespace,
		},
	}}
	if err := w.Create(w.t.Context(), review); err != nil {
		w.t.Fatal(err)
	}
	return review.Status.Allowed
}

// aggregate gives the ClusterRoles view, edit and admin what the labels of others add to them, by the rules with which the API server has made them.
// It stands in for a controller of kube-controller-manager, which does not run here.
func (w *world) aggregate() {
	w.t.Helper()
	for range 3 { // view is part of edit, which is part of admin
		var roles rbacv1.ClusterRoleList
		if err := w.List(w.t.Context(), &roles); err != nil {
			w.t.Fatal(err)
		}
		for _, name := range []string{"view", "edit", "admin"} {
			i := slices.IndexFunc(roles.Items, func(r rbacv1.ClusterRole) bool { return r.Name == name })
			if i < 0 || roles.Items[i].AggregationRule == nil {
				w.t.Fatalf("the API server has made no ClusterRole %s that others add to", name)
			}
			role := &roles.Items[i]
			role.Rules = w.added(role, roles.Items)
			if err := w.Update(w.t.Context(), role); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// added are the rules of the roles that a role consists of.
func (w *world) added(to *rbacv1.ClusterRole, roles []rbacv1.ClusterRole) []rbacv1.PolicyRule {
	w.t.Helper()
	var rules []rbacv1.PolicyRule
	for i := range to.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&to.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			w.t.Fatal(err)
		}
		for _, role := range roles {
			if role.Name == to.Name || !selector.Matches(labels.Set(role.Labels)) {
				continue
			}
			for _, rule := range role.Rules {
				if !slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool { return equality.Semantic.DeepEqual(r, rule) }) {
					rules = append(rules, rule)
				}
			}
		}
	}
	return rules
}
