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
		if n := reporting[name]; n.Status.Timeline < timeline && s.silence(n) < silentFor {
			findings = append(findings, found(Hint, "It does so by itself while its agent is in contact with the API.",
				"the API server has gone back in time, and node %s has not confirmed yet that it knows all that is attached there", name).on(name).about("macnode.macpool.dev", n))
		}
	}
	return findings
}

// agentOf is what is wrong with the agent of a node.
func (s *state) agentOf(node *corev1.Node, pod *corev1.Pod, report *v1alpha1.MacNode) (Finding, bool) {
	contact := report != nil && s.silence(report) < silentFor
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
			"the agent of node %s has been silent for %s", node.Name, s.silence(report).Round(time.Second)).about("macnode.macpool.dev", report), true
	}
	return Finding{}, false
}

// leftOut tells whether the DaemonSet of the agent is not meant for a node.
func (s *state) leftOut(node *corev1.Node) bool {
	i := slices.IndexFunc(s.daemonSets.Items, func(d appsv1.DaemonSet) bool { return isOurs(&d, "agent") })
	return i >= 0 && !labels.SelectorFromSet(s.daemonSets.Items[i].Spec.Template.Spec.NodeSelector).Matches(labels.Set(node.Labels))
}

// clockLimit is how far a node's clock may be from the API server's. Nothing is decided by the difference, but times are shown.
const clockLimit = 10 * time.Second

// clocks compares the time that an agent wrote with the time at which the API server took it.
func clocks(s *state) []Finding {
	var findings []Finding
	reporting := s.reporting()
	for _, name := range sorted(reporting) {
		n := reporting[name]
		last := written(n)
		if last.IsZero() || n.Status.RenewTime.IsZero() {
			continue
		}
		if off := n.Status.RenewTime.Sub(last); off.Abs() > clockLimit {
			way := "ahead of"
			if off < 0 {
				way = "behind"
			}
			findings = append(findings, found(Hint, "Let the node synchronize its clock (NTP). No address depends on it, but the times in history and logs do.",
				"the clock of node %s is %s %s that of the API server", name, off.Abs().Round(time.Second), way).on(name).about("macnode.macpool.dev", n))
		}
	}
	return findings
}
