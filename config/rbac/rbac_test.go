// SPDX-License-Identifier: Apache-2.0

// Package rbac_test judges what macpool's two service accounts may do, by the manifests. That all of it is used, and no more is
// needed, e2e/cluster finds on a cluster; that the chart grants the same, charts.
package rbac_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// grant is a role as it is bound to a service account.
type grant struct {
	account    string
	role       string // kind and name
	everywhere bool
	rules      []rbacv1.PolicyRule
}

// grants are all that is bound to service accounts. Roles that are for people are bound by them.
func grants(t *testing.T) []grant {
	t.Helper()
	files, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	roles := map[string][]rbacv1.PolicyRule{}
	var bindings []rbacv1.RoleBinding
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for object := range strings.SplitSeq(string(text), "---\n") {
			var kind metav1.TypeMeta
			read(t, object, &kind)
			switch kind.Kind { // those for a namespace and those for the cluster have the same fields
			case "ClusterRole", "Role":
				var role rbacv1.Role
				read(t, object, &role)
				roles[kind.Kind+" "+role.Name] = role.Rules
			case "ClusterRoleBinding", "RoleBinding":
				var binding rbacv1.RoleBinding
				read(t, object, &binding)
				bindings = append(bindings, binding)
			}
		}
	}
	var all []grant
	for _, b := range bindings {
		role := b.RoleRef.Kind + " " + b.RoleRef.Name
		if roles[role] == nil || len(b.Subjects) != 1 {
			t.Fatalf("%s binds %s to %d subjects; want one of this directory, to one", b.Name, role, len(b.Subjects))
		}
		all = append(all, grant{b.Subjects[0].Name, role, b.Kind == "ClusterRoleBinding", roles[role]})
	}
	return all
}

func read(t *testing.T, text string, object any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), object); err != nil {
		t.Fatal(err)
	}
}

// resources are those of a rule, as kubectl auth can-i names them, with the name of the object that a rule is for, or "by name" for several.
func resources(rule *rbacv1.PolicyRule) []string {
	var all []string
	names := rule.ResourceNames
	if len(names) > 1 {
		names = []string{"by name"}
	}
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			name, sub, isSub := strings.Cut(resource, "/")
			if group != "" {
				name += "." + group
			}
			if isSub {
				name += "/" + sub
			}
			all = append(all, strings.Join(append([]string{name}, names...), " "))
		}
	}
	return all
}

// writable are the writes that each account is to have, in all of the cluster and in its own namespace. RBAC cannot narrow them further;
// config/policy does.
var writable = map[string]map[string]string{
	"ClusterRole macpool-manager": {
		"pods":                              "patch", // to remove macpool's own scheduling gate
		"nodes":                             "patch", // to write macpool's own labels
		"events.events.k8s.io":              "create patch",
		"ipamclaims.k8s.cni.cncf.io/status": "patch",
		"macpools.macpool.dev/status":       "patch",
		"macclaims.macpool.dev":             "create delete patch",
		"macclaims.macpool.dev/status":      "patch update",
		"macleases.macpool.dev":             "create delete update",
		"macnodes.macpool.dev":              "delete",
		// A policy refuses them to everybody, by which the manager sees that it is in force.
		"macpools.macpool.dev macpool-policy-probe": "create patch",
		"macnodes.macpool.dev macpool-policy-probe": "create patch",
	},
	"Role macpool-leader-election": {
		"leases.coordination.k8s.io":                 "create",
		"leases.coordination.k8s.io macpool-manager": "update",
		"events": "create",
	},
	"ClusterRole macpool-agent": {
		"events.events.k8s.io":         "create",
		"macclaims.macpool.dev":        "create",
		"macclaims.macpool.dev/status": "update",
		"macleases.macpool.dev":        "create delete update",
		"macnodes.macpool.dev":         "create",
		"macnodes.macpool.dev/status":  "update",
	},
}

// tooMuch says what of a role's rule is more than a stolen token may be good for.
func tooMuch(role string, rule *rbacv1.PolicyRule) (found []string) {
	if len(rule.NonResourceURLs) > 0 {
		found = append(found, "paths")
	}
	for _, resource := range resources(rule) {
		kind, _, sub := strings.Cut(resource, "/")
		for _, verb := range rule.Verbs {
			ok := slices.Contains(strings.Fields(writable[role][resource]), verb)
			if slices.Contains([]string{"get", "list", "watch"}, verb) {
				// Who may get a subresource of a pod or a node may run things there.
				ok = !sub && !slices.Contains([]string{"secrets", "configmaps", "serviceaccounts"}, kind)
			}
			if !ok || strings.Contains(resource, "*") {
				found = append(found, verb+" "+resource)
			}
		}
	}
	return found
}

// TestT17NarrowRoles attacks with the token of the manager, or an agent, what the roles would let it have (T17): each account is of its own, reads
// no secrets, runs nothing in pods, cannot give itself or anybody more, and writes only what is listed; the agent of pools nothing; the
// leaders' lease is one by name in one namespace. The rules that are refused show that the judge sees.
func TestT17NarrowRoles(t *testing.T) {
	bound := map[string][]string{}
	for _, g := range grants(t) {
		bound[g.account] = append(bound[g.account], g.role)
		if g.everywhere != strings.HasPrefix(g.role, "ClusterRole ") {
			t.Errorf("%s is bound by the wrong kind of binding", g.role)
		}
		for i := range g.rules {
			for _, what := range tooMuch(g.role, &g.rules[i]) {
				t.Errorf("%s allows %s", g.role, what)
			}
		}
	}
	want := map[string][]string{
		"macpool-agent":   {"ClusterRole macpool-agent"},
		"macpool-manager": {"Role macpool-leader-election", "ClusterRole macpool-manager"},
	}
	if diff := cmp.Diff(want, bound); diff != "" {
		t.Errorf("the accounts have other roles (+):\n%s", diff)
	}

	for _, rule := range []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}},
		{APIGroups: []string{""}, Resources: []string{"*"}, Verbs: []string{"list"}},
		{APIGroups: []string{"*"}, Resources: []string{"pods"}, Verbs: []string{"watch"}},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"*"}},
		{APIGroups: []string{""}, Resources: []string{"pods/exec"}, Verbs: []string{"get"}},
		{APIGroups: []string{""}, Resources: []string{"pods/ephemeralcontainers"}, Verbs: []string{"patch"}},
		{APIGroups: []string{""}, Resources: []string{"nodes/proxy"}, Verbs: []string{"get"}},
		{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, Verbs: []string{"create"}},
		{APIGroups: []string{""}, Resources: []string{"users"}, Verbs: []string{"impersonate"}},
		{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"clusterroles"}, Verbs: []string{"escalate"}},
		{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"clusterroles"}, Verbs: []string{"bind"}},
		{APIGroups: []string{"macpool.dev"}, Resources: []string{"macleases"}, Verbs: []string{"deletecollection"}},
		{APIGroups: []string{"macpool.dev"}, Resources: []string{"macpools"}, Verbs: []string{"update"}},
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"update"}},
		{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}},
	} {
		for role := range writable {
			if len(tooMuch(role, &rule)) == 0 {
				t.Errorf("as a part of %s this would not be found: %v", role, rule)
			}
		}
	}
}

// TestRolesAreExplained compares docs/rbac.md with the roles: each permission has a row that says what it is for, and there is no other row.
func TestRolesAreExplained(t *testing.T) {
	text, err := os.ReadFile("../../docs/rbac.md")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string][]string{}
	role := ""
	for line := range strings.Lines(string(text)) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			role = strings.TrimSpace(strings.ReplaceAll(heading, "`", ""))
		}
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		if strings.TrimSpace(cells[3]) == "" {
			t.Errorf("it does not say what this is for: %s", line)
		}
		for resource := range strings.SplitSeq(cells[1], ",") {
			for verb := range strings.SplitSeq(cells[2], ",") {
				said[role] = append(said[role], strings.TrimSpace(verb)+" "+strings.Trim(resource, " `"))
			}
		}
	}
	for _, g := range grants(t) {
		var has []string
		for i := range g.rules {
			for _, resource := range resources(&g.rules[i]) {
				for _, verb := range g.rules[i].Verbs {
					has = append(has, verb+" "+resource)
				}
			}
		}
		slices.Sort(has)
		slices.Sort(said[g.role])
		if diff := cmp.Diff(has, said[g.role]); diff != "" {
			t.Errorf("%s has (-), docs/rbac.md says (+):\n%s", g.role, diff)
		}
	}
}
