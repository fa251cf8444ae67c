// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Annotations of the API object that stands for a static pod: the UID that kubelet gives to the runtime is not the object's
// own but this hash (multus-cni #773, cilium #45016).
const (
	annotationConfigMirror = "kubernetes.io/config.mirror"
	annotationConfigHash   = "kubernetes.io/config.hash"
)

// PodUID is the UID by which the container runtime knows the pod.
func PodUID(pod *corev1.Pod) types.UID {
	if mirror, ok := pod.Annotations[annotationConfigMirror]; ok {
		if hash, ok := pod.Annotations[annotationConfigHash]; ok {
			return types.UID(hash)
		}
		return types.UID(mirror)
	}
	return pod.UID
}

// WorkloadOf is the stable identity behind an interface of a pod: the ordinal of its StatefulSet, else the pod itself.
func WorkloadOf(pod *corev1.Pod, iface string) v1alpha1.Workload {
	if owner := metav1.GetControllerOf(pod); owner != nil &&
		owner.Kind == "StatefulSet" && strings.HasPrefix(owner.APIVersion, appsv1.GroupName+"/") {
		// The pod's name is the set's and the ordinal; the label that says so too can be edited.
		if n, err := strconv.ParseInt(strings.TrimPrefix(pod.Name, owner.Name+"-"), 10, 32); err == nil && n >= 0 {
			return v1alpha1.Workload{
				Kind: v1alpha1.WorkloadStatefulSet, Name: owner.Name, Ordinal: new(int32(n)), Interface: iface,
			}
		}
	}
	return v1alpha1.Workload{Kind: v1alpha1.WorkloadPod, Name: pod.Name, Interface: iface}
}

// PodName is the name of the workload's pod.
func PodName(w v1alpha1.Workload) string {
	if w.Ordinal != nil {
		return w.Name + "-" + strconv.Itoa(int(*w.Ordinal))
	}
	return w.Name
}

// plainLabel is what needs no escaping in a claim's name. Pools are named so; workloads and interfaces mostly.
var plainLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

// maxClaimName is the longest name of a Kubernetes object.
const maxClaimName = 253

// ClaimName is the name of the claim of a workload's interface in a pool: db-0.iot.net1. A workload or interface whose
// name has characters or a length that would make it ambiguous or invalid gets a hash instead.
func ClaimName(w v1alpha1.Workload, pool string) string {
	name := PodName(w) + "." + pool + "." + w.Interface
	if plainLabel.MatchString(PodName(w)) && plainLabel.MatchString(w.Interface) && len(name) <= maxClaimName {
		return name
	}
	sum := sha256.Sum256([]byte(PodName(w) + "\x00" + pool + "\x00" + w.Interface))
	readable := strings.Trim(notPlain.ReplaceAllString(strings.ToLower(PodName(w)), "-"), "-")
	if len(readable) > 63 {
		readable = strings.TrimRight(readable[:63], "-")
	}
	return readable + "." + pool + ".x" + hex.EncodeToString(sum[:8])
}

var notPlain = regexp.MustCompile(`[^a-z0-9]+`)

// IdentityLabel is the value of v1alpha1.LabelIdentity for the leases of a claim.
func IdentityLabel(namespace, claim string) string {
	sum := sha256.Sum256([]byte(namespace + "\x00" + claim))
	return hex.EncodeToString(sum[:16])
}
