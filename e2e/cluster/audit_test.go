// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
)

// accounts are macpool's, as the API server names them, by the names that they have in their namespace.
const accounts = "system:serviceaccount:macpool-system:"

// request is one that the API server has written into its audit log: see hack/cluster/audit.yaml.
type request struct {
	Stage      string
	Verb       string
	RequestURI string
	User       struct {
		Username string
		Extra    map[string][]string
	}
	UserAgent string
	SourceIPs []string
	ObjectRef struct{ APIGroup, Resource, Subresource, Namespace, Name string }
	// ResponseStatus of a watch is that of its beginning.
	ResponseStatus struct {
		Code    int
		Message string
	}
	RequestReceivedTimestamp time.Time
	StageTimestamp           time.Time
	Annotations              map[string]string
}

// auditLog is what the API server has recorded since the cluster was made, in the order in which it was answered.
func auditLog(t *testing.T) []request {
	t.Helper()
	file, err := os.Open(filepath.Join(box.dir, "log", "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var all []request
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			// The API server was killed, or writes.
			t.Logf("a line of the audit log was left out: %v", err)
			continue
		}
		if r.Verb == "watch" && r.Stage == "ResponseComplete" {
			continue // its beginning was recorded
		}
		all = append(all, r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// account is which of macpool's two has sent the request, "" if somebody else has.
func (r *request) account() string {
	name, ours := strings.CutPrefix(r.User.Username, accounts)
	if !ours || r.UserAgent == thief {
		return ""
	}
	return name
}

// resource is as a role writes it, with the subresource.
func (r *request) resource() string {
	if r.ObjectRef.Subresource != "" {
		return r.ObjectRef.Resource + "/" + r.ObjectRef.Subresource
	}
	return r.ObjectRef.Resource
}

// allowed is whether the account has the right to what it asked for. The request may have failed nevertheless.
func (r *request) allowed() bool { return r.Annotations["authorization.k8s.io/decision"] == "allow" }

// denied is whether it was refused by who may do what, or by admission, which says 422 where a policy names no other reason.
func (r *request) denied() bool {
	return !r.allowed() || r.ResponseStatus.Code == 403 || r.ResponseStatus.Code == 422
}

// asksPolicy is whether the manager has asked by it, as a dry run, whether a policy is in force: docs/operations.md says how to tell.
func (r *request) asksPolicy() bool {
	return r.account() == "macpool-manager" && strings.HasSuffix(r.UserAgent, "/policy-probe")
}

func (r *request) String() string {
	return fmt.Sprintf("%s %s by %s: %d %s", r.Verb, r.RequestURI, r.User.Username, r.ResponseStatus.Code, r.ResponseStatus.Message)
}

// absences are the times at which one of macpool's roles, or of their bindings, was not there, since a test had taken it away.
type absences struct {
	since map[string]time.Time // of what is not there now
	past  [][2]time.Time
}

func newAbsences(log []request) *absences {
	a := &absences{since: map[string]time.Time{}}
	for i := range log {
		r := &log[i]
		role := r.ObjectRef.APIGroup == rbacv1.GroupName && strings.HasPrefix(r.ObjectRef.Name, "macpool-")
		home := r.ObjectRef.Resource == "namespaces" && r.ObjectRef.Name == "macpool-system" // with it go those that are in it
		if !role && !home || r.ResponseStatus.Code >= 300 {
			continue
		}
		what := r.ObjectRef.Resource + " " + r.ObjectRef.Name
		since, absent := a.since[what]
		switch {
		case r.Verb == "delete" && !absent:
			a.since[what] = r.RequestReceivedTimestamp
		case r.Verb == "create" && absent:
			// The API server's own cache of roles is a moment behind.
			a.past = append(a.past, [2]time.Time{since, r.StageTimestamp.Add(time.Second)})
			delete(a.since, what)
		}
	}
	return a
}

func (a *absences) at(when time.Time) bool {
	return slices.ContainsFunc(a.past, func(p [2]time.Time) bool { return !when.Before(p[0]) && when.Before(p[1]) })
}
