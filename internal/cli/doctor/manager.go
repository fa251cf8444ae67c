// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// manager looks at the Deployment of the manager and at its pods.
func manager(s *state) []Finding {
	i := slices.IndexFunc(s.deployments.Items, func(d appsv1.Deployment) bool { return isOurs(&d, "manager") })
	if i < 0 {
		return withoutManager(s)
	}
	d := &s.deployments.Items[i]
	var findings []Finding
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	logs := fmt.Sprintf("kubectl -n %s logs deployment/%s says why.", d.Namespace, d.Name)
	switch ready := d.Status.ReadyReplicas; {
	case want == 0:
		findings = append(findings, found(Fault, fmt.Sprintf("kubectl -n %s scale deployment/%s --replicas=2", d.Namespace, d.Name), "the manager is scaled to 0: no claims are made ahead, and no address is taken back"))
	case ready == 0:
		findings = append(findings, found(Fault, logs, "no manager is ready, of %d", want))
	case ready < want:
		findings = append(findings, found(Hint, logs, "%d of %d managers are ready", ready, want))
	}
	for i := range s.pods.Items {
		if p := &s.pods.Items[i]; isOurs(p, "manager") && p.Namespace == d.Namespace {
			if why := s.trouble(p); why != "" {
				findings = append(findings, found(Fault, fmt.Sprintf("kubectl -n %s logs --previous %s says why.", p.Namespace, p.Name), "manager %s: %s", p.Name, why).about("pod", p))
			}
		}
	}
	for i := range findings {
		if findings[i].Object == "" {
			findings[i] = findings[i].about("deployment.apps", d)
		}
	}
	return findings
}

// withoutManager is for a cluster that has no Deployment of it: where agents report, macpool may be run by other means.
func withoutManager(s *state) []Finding {
	for _, node := range s.reporting() {
		if s.inContact(node) {
			return []Finding{found(Unchecked, "", "there is no Deployment with the labels %s=macpool, %s=manager: a manager that is run by other means cannot be seen", labelName, labelComponent)}
		}
	}
	return []Finding{found(Fault, "Install macpool: docs/install.", "there is no manager: no Deployment has the labels %s=macpool, %s=manager", labelName, labelComponent)}
}

const (
	// manyRestarts within recently are a crash loop, also between two crashes.
	manyRestarts = 3
	recently     = 10 * time.Minute
)

// trouble is what keeps the containers of a pod from running for good, empty if nothing does.
func (s *state) trouble(pod *corev1.Pod) string {
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		waiting, last := c.State.Waiting, c.LastTerminationState.Terminated
		switch {
		case waiting != nil && waiting.Reason != "ContainerCreating" && waiting.Reason != "PodInitializing":
			return strings.TrimSuffix(fmt.Sprintf("container %s is in %s: %s", c.Name, waiting.Reason, waiting.Message), ": ")
		case c.RestartCount >= manyRestarts && last != nil && s.now.Sub(last.FinishedAt.Time) < recently:
			return fmt.Sprintf("container %s was restarted %d times, the last time after exit status %d (%s)", c.Name, c.RestartCount, last.ExitCode, last.Reason)
		}
	}
	return ""
}

// isReady tells whether a pod has the condition Ready.
func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
}
