// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/macpool/macpool/internal/installer/report"
)

const multusFix = "Install Multus, and see that its configuration is the first by name in the runtime's directory: docs/install."

// multus looks for what makes second interfaces: the kind of networks, its pods, and on each node its configuration, which Cilium renames
// away if it is told to be alone.
func multus(s *state) []Finding {
	findings := s.unasked("how Multus is configured on")
	kind := slices.ContainsFunc(s.customKinds.Items, func(k apiextensionsv1.CustomResourceDefinition) bool {
		return k.Name == networkResource+".k8s.cni.cncf.io"
	})
	if s.unread["customresourcedefinitions"] == nil && !kind {
		findings = append(findings, found(Fault, multusFix, "the cluster has no NetworkAttachmentDefinitions, and so no Multus"))
	}
	if f, wrong := exclusive(s.configMaps.Items); wrong {
		findings = append(findings, f)
	}
	for i := range s.pods.Items {
		p := &s.pods.Items[i]
		if !isMultus(p) || !s.looksAt(p.Spec.NodeName) || p.Spec.NodeName == "" {
			continue
		}
		if why := s.trouble(p); why != "" {
			findings = append(findings, found(Fault, "kubectl -n "+p.Namespace+" logs "+p.Name+" says why.", "Multus on node %s: %s", p.Spec.NodeName, why).
				on(p.Spec.NodeName).about("pod", p))
		}
	}
	for _, node := range sorted(s.installers) {
		i := s.installers[node]
		if i.err != nil {
			findings = append(findings, found(Unchecked, "", "how Multus is configured on node %s: %v", node, i.err).on(node))
			continue
		}
		for _, file := range i.Renamed {
			if strings.Contains(file, "multus") {
				findings = append(findings, found(Fault, ciliumFix, "on node %s Cilium has renamed Multus' configuration to %s, where no runtime reads it", node, file).on(node))
			}
		}
		switch {
		case len(i.Multus) == 0:
			findings = append(findings, found(Fault, multusFix, "node %s has no configuration of Multus: its pods start without their second interfaces", node).on(node))
		case !slices.ContainsFunc(i.Multus, func(c report.Configuration) bool { return c.Before == "" }):
			c := i.Multus[0]
			findings = append(findings, found(Fault, multusFix, "on node %s the runtime takes %s before Multus' %s", node, c.Before, c.File).on(node))
		}
	}
	return findings
}

// isMultus tells whether a pod is one of Multus', by the labels that its manifests and the charts of distributions give.
func isMultus(pod *corev1.Pod) bool {
	for _, label := range []string{"app", "name", "k8s-app", labelName} {
		if value := pod.Labels[label]; value == "multus" || strings.HasSuffix(value, "-multus") || strings.HasPrefix(value, "multus-") {
			return true
		}
	}
	return false
}

const ciliumFix = "Set cni-exclusive: \"false\" in ConfigMap kube-system/cilium-config (cni.exclusive=false in its chart), restart the DaemonSet cilium, and then Multus'."

// exclusive finds a Cilium that takes other configurations of CNI away, which is what it does unless told otherwise.
func exclusive(configMaps []corev1.ConfigMap) (Finding, bool) {
	for i := range configMaps {
		if c := &configMaps[i]; c.Name == "cilium-config" && c.Data["cni-exclusive"] != "false" {
			return found(Fault, ciliumFix, "Cilium renames the configurations of other CNI plugins away, Multus' among them: cni-exclusive is not false in ConfigMap %s/%s",
				c.Namespace, c.Name).about("configmap", c), true
		}
	}
	return Finding{}, false
}
