// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"slices"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// TestRoles is R-S6, and what T24 asks of the roles: the API server is asked for each role, bound in each way, what it lets somebody do with each
// resource, by every verb. The table of docs/tenants.md is the answer.
func TestRoles(t *testing.T) {
	w := newWorld(t)
	w.aggregate()
	own, other := w.namespace(), w.namespace()
	of := func(name, subresource, namespace string) thing {
		return thing{v1alpha1.GroupVersion.Group, name, subresource, namespace}
	}
	columns := []struct {
		head string
		of   thing
	}{
		{"claims of the namespace", of("macclaims", "", own)},
		{"claims of others", of("macclaims", "", other)},
		{"status of claims", of("macclaims", "status", own)},
		{"pools", of("macpools", "", "")},
		{"leases", of("macleases", "", "")},
		{"MacNodes", of("macnodes", "", "")},
		{"networks", thing{nadv1.SchemeGroupVersion.Group, "network-attachment-definitions", "", own}},
	}
	var table strings.Builder
	table.WriteString("| ClusterRole | bound by a")
	for _, c := range columns {
		table.WriteString(" | " + c.head)
	}
	table.WriteString(" |\n|---|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, row := range []struct {
		role    string
		binding string
		in      string
	}{
		{"macpool-viewer", "RoleBinding", own},
		{"macpool-user", "RoleBinding", own},
		{"macpool-admin", "ClusterRoleBinding", ""},
		{"macpool-admin", "RoleBinding", own},
		{"view", "RoleBinding", own},
		{"edit", "RoleBinding", own},
		{"admin", "RoleBinding", own},
		{"admin", "ClusterRoleBinding", ""},
	} {
		p := w.bind(row.role, row.in)
		table.WriteString("| `" + row.role + "` | " + row.binding)
		for _, c := range columns {
			table.WriteString(" | " + w.inWords(p, c.of))
		}
		table.WriteString(" |\n")
	}
	checkTable(t, "../docs/tenants.md", "roles", table.String())
}

// inWords is what a person may do with a resource.
func (w *world) inWords(p person, r thing) string {
	w.t.Helper()
	verbs := []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
	if r.name == "macleases" {
		verbs = append(verbs, "force-release")
	}
	may := map[string]bool{}
	for _, verb := range verbs {
		may[verb] = w.may(p, verb, r)
	}
	var words []string
	for _, group := range []struct {
		word  string
		verbs []string
	}{
		{"read", []string{"get", "list", "watch"}},
		{"write", []string{"create", "update", "patch", "delete"}},
	} {
		if !slices.ContainsFunc(group.verbs, func(verb string) bool { return !may[verb] }) {
			words = append(words, group.word)
			for _, verb := range group.verbs {
				delete(may, verb)
			}
		}
	}
	for _, verb := range verbs {
		if may[verb] {
			words = append(words, "`"+verb+"`")
		}
	}
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ", ")
}
