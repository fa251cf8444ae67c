// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// versions compares the releases of agents, manager and this program.
func versions(s *state) []Finding {
	nodes := map[string][]string{} // version of the agent -> nodes
	for name, n := range s.reporting() {
		if v, _, _ := strings.Cut(n.Status.AgentVersion, " "); isRelease(v) {
			nodes[v] = append(nodes[v], name)
		}
	}
	var findings []Finding
	if len(nodes) > 1 {
		var texts []string
		for _, v := range sorted(nodes) {
			slices.Sort(nodes[v])
			texts = append(texts, fmt.Sprintf("%s on %s", v, some(nodes[v])))
		}
		findings = append(findings, found(Hint, "Wait, if an update is under way; else see why the DaemonSet's update does not go on.", "agents are of several versions: %s", strings.Join(texts, "; ")))
	}
	if _, same := nodes[s.version]; isRelease(s.version) && len(nodes) > 0 && !same {
		findings = append(findings, found(Hint, "Get kubectl-macpool of the version that is installed.", "this program is of version %s, the agents are of %s", s.version, some(sorted(nodes))))
	}
	if a, b := s.managerTag(), s.agentTag(); a != "" && b != "" && a != b {
		findings = append(findings, found(Hint, "Install manager and agents of one release.", "the manager's image is of %s, the agents' of %s", a, b))
	}
	return findings
}

// isRelease tells whether a version can be compared: what was built in a working tree has none.
func isRelease(version string) bool { return strings.HasPrefix(version, "v") }

func (s *state) managerTag() string {
	i := slices.IndexFunc(s.deployments.Items, func(d appsv1.Deployment) bool { return isOurs(&d, "manager") })
	if i < 0 {
		return ""
	}
	return tagOf(s.deployments.Items[i].Spec.Template.Spec.Containers)
}

func (s *state) agentTag() string {
	i := slices.IndexFunc(s.daemonSets.Items, func(d appsv1.DaemonSet) bool { return isOurs(&d, "agent") })
	if i < 0 {
		return ""
	}
	return tagOf(s.daemonSets.Items[i].Spec.Template.Spec.Containers)
}

// tagOf is the tag of the first container's image, empty if a digest names it.
func tagOf(containers []corev1.Container) string {
	if len(containers) == 0 || strings.Contains(containers[0].Image, "@") {
		return ""
	}
	image := containers[0].Image
	name := image[strings.LastIndex(image, "/")+1:]
	_, tag, _ := strings.Cut(name, ":")
	return tag
}
