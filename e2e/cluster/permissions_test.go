// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"iter"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// permission is one verb on one resource, of one name and in one namespace where the role says so.
type permission struct{ account, group, resource, verb, name, namespace string }

// String has the resource as kubectl auth can-i and docs/rbac.md have it.
func (p permission) String() string {
	kind, sub, isSub := strings.Cut(p.resource, "/")
	if p.group != "" {
		kind += "." + p.group
	}
	if isSub {
		kind += "/" + sub
	}
	words := []string{p.account, p.verb, kind}
	if p.name != "" {
		words = append(words, p.name)
	}
	if p.namespace != "" {
		words = append(words, "in", p.namespace)
	}
	return strings.Join(words, " ")
}

// covers is whether the permission is what a request needs. To apply an object that is not there takes create, too, which can be for one name
// then. What the manager asks of policies counts only for what is granted for them by name: they hide nothing that has no other use.
func (p permission) covers(r *request) bool {
	named := p.name != "" && p.name == r.ObjectRef.Name
	verb := p.verb == r.Verb || named && p.verb == "create" && r.Verb == "patch"
	return p.account == r.account() && p.group == r.ObjectRef.APIGroup && p.resource == r.resource() && verb &&
		(p.namespace == "" || p.namespace == r.ObjectRef.Namespace) && (named || p.name == "" && !r.asksPolicy())
}

// granted are all permissions of both accounts, each with the number 0, read from where they are bound.
func granted(t *testing.T) map[permission]int {
	t.Helper()
	var everywhere rbacv1.ClusterRoleBindingList
	var within rbacv1.RoleBindingList
	for _, list := range []client.ObjectList{&everywhere, &within} {
		if err := box.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	all := map[permission]int{}
	bound := func(namespace string, subjects []rbacv1.Subject, ref rbacv1.RoleRef) {
		t.Helper()
		for _, s := range subjects {
			if s.Kind != rbacv1.ServiceAccountKind || s.Namespace != "macpool-system" {
				continue
			}
			for p := range permissions(s.Name, namespace, rulesOf(t, namespace, ref)) {
				if _, twice := all[p]; twice {
					t.Errorf("granted twice: %s", p)
				}
				all[p] = 0
			}
		}
	}
	for _, b := range everywhere.Items {
		bound("", b.Subjects, b.RoleRef)
	}
	for _, b := range within.Items {
		bound(b.Namespace, b.Subjects, b.RoleRef)
	}
	if len(all) == 0 {
		t.Fatal("macpool's accounts have no permissions")
	}
	return all
}

func rulesOf(t *testing.T, namespace string, ref rbacv1.RoleRef) []rbacv1.PolicyRule {
	t.Helper()
	clusterRole, role := &rbacv1.ClusterRole{}, &rbacv1.Role{}
	var err error
	if ref.Kind == "ClusterRole" {
		err = box.Get(t.Context(), client.ObjectKey{Name: ref.Name}, clusterRole)
	} else {
		err = box.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: ref.Name}, role)
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(clusterRole.Rules, role.Rules...)
}

// permissions takes rules apart.
func permissions(account, namespace string, rules []rbacv1.PolicyRule) iter.Seq[permission] {
	return func(yield func(permission) bool) {
		for _, rule := range rules {
			names := rule.ResourceNames
			if len(names) == 0 {
				names = []string{""}
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						for _, name := range names {
							if !yield(permission{account, group, resource, verb, name, namespace}) {
								return
							}
						}
					}
				}
			}
		}
	}
}
