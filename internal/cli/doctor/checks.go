// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
)

// check looks at one subject. It is a function of what was read.
type check struct {
	subject string
	// needs are the resources without which it can say nothing.
	needs []string
	// ofNode: it is about single nodes, and has something to say when only one is looked at.
	ofNode bool
	run    func(*state) []Finding
}

// checks are in the order in which a pod needs what they look at.
var checks = []check{
	{subject: "kinds", needs: []string{"customresourcedefinitions"}, run: kinds},
	{subject: "policies", needs: []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"}, run: policies},
	{subject: "manager", needs: []string{"deployments", "pods"}, run: manager},
	{subject: "agents", needs: []string{"nodes", "pods", "daemonsets", "macnodes"}, ofNode: true, run: agents},
	{subject: "versions", needs: []string{"macnodes"}, ofNode: true, run: versions},
	{subject: "clocks", needs: []string{"macnodes"}, ofNode: true, run: clocks},
	{subject: "plugins", needs: []string{"nodes", "pods"}, ofNode: true, run: plugins},
	{subject: "multus", needs: []string{"nodes", "pods"}, ofNode: true, run: multus},
	{subject: "links", needs: []string{"macnodes", "macpools"}, ofNode: true, run: links},
	{subject: "networks", needs: []string{networkResource, "macpools"}, run: networks},
	{subject: "pools", needs: []string{"macpools"}, run: pools},
	{subject: "workloads", needs: []string{"pods"}, run: workloads},
	{subject: "claims", needs: []string{"macclaims"}, run: claims},
	{subject: "leases", needs: []string{"macleases", "macclaims"}, run: leases},
	{subject: "reports", needs: []string{"macnodes"}, ofNode: true, run: reports},
}

// networkResource is the resource of networks.
const networkResource = "network-attachment-definitions"

// examine runs the checks. One that lacks what it needs says so; of a kind that the cluster does not have, the checks of kinds and of Multus speak.
func examine(s *state) []Subject {
	var subjects []Subject
	for _, c := range checks {
		if s.node != "" && !c.ofNode {
			continue
		}
		subject := Subject{Name: c.subject, Findings: []Finding{}}
		lacking := slices.IndexFunc(c.needs, func(resource string) bool { return s.unread[resource] != nil })
		switch {
		case lacking < 0:
			subject.Findings = append(subject.Findings, c.run(s)...)
		default:
			subject.Findings = append(subject.Findings, unread(c.needs[lacking], s.unread[c.needs[lacking]]))
		}
		for _, resource := range optional[c.subject] {
			if err := s.unread[resource]; err != nil && !isAbsent(err) && lacking < 0 {
				subject.Findings = append(subject.Findings, unread(resource, err))
			}
		}
		subjects = append(subjects, subject)
	}
	return subjects
}

// optional are resources that add to what a check says, and without which it says less.
var optional = map[string][]string{
	"plugins":   {networkResource, "daemonsets"},
	"multus":    {"customresourcedefinitions", "configmaps", "daemonsets"},
	"pools":     {"macleases"},
	"workloads": {"deployments", "statefulsets", "daemonsets", "jobs", "cronjobs", "virtualmachines", networkResource},
}

// isAbsent tells whether the cluster has no such kind.
func isAbsent(err error) bool { return apimeta.IsNoMatchError(err) || apierrors.IsNotFound(err) }

// unread says that a resource could not be read, and why.
func unread(resource string, err error) Finding {
	switch {
	case isAbsent(err):
		return found(Unchecked, "", "the cluster has no %s", resource)
	case apierrors.IsForbidden(err):
		return found(Unchecked, fmt.Sprintf("Ask an administrator: kubectl auth can-i list %s -A must say yes.", resource), "you may not list %s", resource)
	default:
		return found(Unchecked, "", "%s could not be read: %v", resource, err)
	}
}
