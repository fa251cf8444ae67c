// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/macpool/macpool/api/v1alpha1"
)

// agents looks for an agent on each node that may run pods, and whether it is in contact with the API.
func agents(s *state) []Finding {
	var findings []Finding
	pods, reporting := s.agentPods(), s.reporting()
	for _, node := range s.workers() {
		if f, wrong := s.agentOf(node, pods[node.Name], reporting[node.Name]); wrong {
			findings = append(findings, f.on(node.Name))
		}
	}
	timeline := int64(0)
	for i := range s.pools.Items {
		timeline = max(timeline, s.pools.Items[i].Status.Timeline)
	}
	for _, name := range sorted(reporting) {
		if n := reporting[name]; n.Status.Timeline < timeline && s.inContact(n) {
			findings = append(findings, found(Hint, "It does so by itself while its agent is in contact with the API.",
				"the API server has gone back in time, and node %s has not confirmed yet that it knows all that is attached there", name).on(name).about("macnode.macpool.dev", n))
		}
	}
	return findings
}

// agentOf is what is wrong with the agent of a node.
func (s *state) agentOf(node *corev1.Node, pod *corev1.Pod, report *v1alpha1.MacNode) (Finding, bool) {
	contact := report != nil && s.inContact(report)
	switch {
	case pod == nil && contact:
		return found(Unchecked, "", "node %s reports, but by no pod of macpool's DaemonSet: whether its agent is ready, and what is installed there", node.Name), true
	case pod == nil && s.leftOut(node):
		return found(Hint, "Extend the nodeSelector of the DaemonSet if pods of the VLANs are to run there.", "node %s has no agent, since the nodeSelector of the DaemonSet leaves it out", node.Name), true
	case pod == nil:
		return found(Fault, "See that the DaemonSet macpool-agent exists, that it tolerates the taints of the node, and what its events say. Pods of networks that name macpool do not start there.",
			"node %s has no agent", node.Name), true
	}
	logs := fmt.Sprintf("kubectl -n %s describe pod %s, and its logs, say why. Pods of networks that name macpool do not start there.", pod.Namespace, pod.Name)
	why := s.trouble(pod)
	switch {
	case why != "":
		return found(Fault, logs, "agent %s of node %s: %s", pod.Name, node.Name, why).about("pod", pod), true
	case !isReady(pod):
		return found(Fault, logs, "agent %s of node %s is not ready", pod.Name, node.Name).about("pod", pod), true
	case report == nil:
		return found(Fault, logs, "the agent of node %s has never reported: there is no MacNode of that name", node.Name).about("pod", pod), true
	case !contact:
		return found(Fault, "See that the node is up and reaches the API server. Its pods keep their addresses; new ones do not start.",
			"the agent of node %s is silent: its last report is %s old, and none came while it was watched", node.Name, s.silent[node.Name].Round(time.Second)).about("macnode.macpool.dev", report), true
	}
	return Finding{}, false
}

// leftOut tells whether the DaemonSet of the agent is not meant for a node.
func (s *state) leftOut(node *corev1.Node) bool {
	i := slices.IndexFunc(s.daemonSets.Items, func(d appsv1.DaemonSet) bool { return isOurs(&d, "agent") })
	return i >= 0 && !labels.SelectorFromSet(s.daemonSets.Items[i].Spec.Template.Spec.NodeSelector).Matches(labels.Set(node.Labels))
}
