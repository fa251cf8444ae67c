// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// machineAsks are the annotations of a VirtualMachine's template, and the MACs of its interfaces. What is of another form has none.
func machineAsks(machine map[string]any) (annotations map[string]string, macs []string) {
	annotations, _, _ = unstructured.NestedStringMap(machine, "spec", "template", "metadata", "annotations")
	interfaces, _, _ := unstructured.NestedSlice(machine, "spec", "template", "spec", "domain", "devices", "interfaces")
	for _, element := range interfaces {
		if nic, ok := element.(map[string]any); ok {
			if text, ok := nic["macAddress"].(string); ok && text != "" {
				macs = append(macs, text)
			}
		}
	}
	return annotations, macs
}
