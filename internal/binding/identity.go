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

// WorkloadOf is the stable identity behind an interface of a pod: the ordinal of its StatefulSet, the node of its DaemonSet, empty while it
// is not known, the VM that it runs; of a Job's pod, and one without a controller, the pod itself. Else it is the controller, for a ReplicaSet its
// Deployment, without the number that tells its claims apart: see Assign.
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
	if vmi := instanceOf(pod); vmi != nil {
		return v1alpha1.Workload{Kind: v1alpha1.WorkloadVM, Name: vmi.Name, Interface: iface}
	}
	owner := OwnerOf(pod)
	switch kind := v1alpha1.WorkloadKind(owner.Kind); kind {
	case v1alpha1.WorkloadPod, v1alpha1.WorkloadStatefulSet, "Job":
		return v1alpha1.Workload{Kind: v1alpha1.WorkloadPod, Name: pod.Name, Interface: iface}
	case v1alpha1.WorkloadDaemonSet:
		return v1alpha1.Workload{Kind: kind, Name: owner.Name, Node: pod.Spec.NodeName, Interface: iface}
	default:
		return v1alpha1.Workload{Kind: kind, Name: owner.Name, Interface: iface}
	}
}

// PodName is the name of the workload's pod; "" if it has no certain one.
func PodName(w v1alpha1.Workload) string {
	switch {
	case Alike(w), w.Kind == v1alpha1.WorkloadDaemonSet, w.Kind == v1alpha1.WorkloadVM:
		return ""
	case w.Ordinal != nil:
		return w.Name + "-" + strconv.Itoa(int(*w.Ordinal))
	}
	return w.Name
}

// plainLabel is what needs no escaping in a claim's name. Pools are named so; workloads and interfaces mostly.
var plainLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

// maxClaimName is the longest name of a Kubernetes object.
const maxClaimName = 253

// Subject is what the claims of a workload are named after: db-0, web.deployment-1, probe.daemonset-node-1, router.virtualmachine. plain: no other workload's
// is the same.
func Subject(w v1alpha1.Workload) (subject string, plain bool) {
	kind := strings.ToLower(string(w.Kind))
	switch {
	case w.Kind == v1alpha1.WorkloadDaemonSet:
		return w.Name + "." + kind + "-" + w.Node, plainLabel.MatchString(w.Name) && plainLabel.MatchString(w.Node)
	case w.Kind == v1alpha1.WorkloadVM:
		return w.Name + "." + kind, plainLabel.MatchString(w.Name)
	case Alike(w):
		n := int32(0)
		if w.Ordinal != nil {
			n = *w.Ordinal
		}
		return w.Name + "." + kind + "-" + strconv.Itoa(int(n)), plainLabel.MatchString(w.Name) && plainLabel.MatchString(kind)
	default:
		return PodName(w), plainLabel.MatchString(PodName(w))
	}
}

// ClaimName is the name of the claim of a workload's interface in a pool: db-0.iot.net1. A workload or interface whose
// name has characters or a length that would make it ambiguous or invalid gets a hash instead.
func ClaimName(w v1alpha1.Workload, pool string) string {
	subject, plain := Subject(w)
	name := subject + "." + pool + "." + w.Interface
	if plain && plainLabel.MatchString(w.Interface) && len(name) <= maxClaimName {
		return name
	}
	sum := sha256.Sum256([]byte(subject + "\x00" + pool + "\x00" + w.Interface))
	return readable(subject) + "." + pool + ".x" + hex.EncodeToString(sum[:8])
}

// MayBeOf tells whether a claim of this name may be one of the workload's, whatever its number.
func MayBeOf(claim string, w v1alpha1.Workload, pool string) bool {
	if !Alike(w) {
		return ClaimName(w, pool) == claim
	}
	subject, plain := Subject(w)
	subject = strings.TrimSuffix(subject, "0")
	if plain && strings.HasPrefix(claim, subject) && strings.HasSuffix(claim, "."+pool+"."+w.Interface) {
		return true
	}
	return strings.HasPrefix(claim, readable(subject)) && strings.Contains(claim, "."+pool+".x")
}

// readable is what a subject with a hash is recognised by.
func readable(subject string) string {
	label := strings.Trim(notPlain.ReplaceAllString(strings.ToLower(subject), "-"), "-")
	return strings.TrimRight(label[:min(len(label), 63)], "-")
}

var notPlain = regexp.MustCompile(`[^a-z0-9]+`)

// IdentityLabel is the value of v1alpha1.LabelIdentity for the leases of a claim.
func IdentityLabel(namespace, claim string) string {
	sum := sha256.Sum256([]byte(namespace + "\x00" + claim))
	return hex.EncodeToString(sum[:16])
}
