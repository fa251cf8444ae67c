// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// KubeVirtGroup is the API group of KubeVirt, of which macpool knows names only.
const KubeVirtGroup = "kubevirt.io"

// instanceOf is the VirtualMachineInstance that a pod runs, nil if it runs none. KubeVirt says so by the pod's controller, which is the
// instance also while it migrates. The instance has the VM's name; a VM that is started again gets one with another UID.
//
// The labels that say so too (kubevirt.io/domain, vm.kubevirt.io/name) can be edited while the pod runs, by whoever may edit the pod, and
// are not asked.
func instanceOf(pod *corev1.Pod) *metav1.OwnerReference {
	owner := metav1.GetControllerOf(pod)
	if owner == nil || owner.Kind != "VirtualMachineInstance" || !strings.HasPrefix(owner.APIVersion, KubeVirtGroup+"/") {
		return nil
	}
	return owner
}

// InstanceUID is the UID of the VirtualMachineInstance that the pod runs, "" if it runs none.
func InstanceUID(pod *corev1.Pod) types.UID {
	if vmi := instanceOf(pod); vmi != nil {
		return vmi.UID
	}
	return ""
}

// VMName is the name of the VM that the pod runs, "" if it runs none.
func VMName(pod *corev1.Pod) string {
	if vmi := instanceOf(pod); vmi != nil {
		return vmi.Name
	}
	return ""
}
