// SPDX-License-Identifier: Apache-2.0

package memapi

import (
	"reflect"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Kind is what a Server knows about a kind of objects.
type Kind struct {
	// Object is an empty one.
	Object client.Object
	// Resource is the name in paths and messages.
	Resource string
	// Cluster: its objects have no namespace.
	Cluster bool
	// Status: the status is written by a request of its own.
	Status bool
	// Ungenerated: its changes are not counted in metadata.generation.
	Ungenerated bool
	// Unconditional: an update without a resourceVersion is taken, as it is for the kinds that are built in.
	Unconditional bool
	// Fields can be selected by, beside name and namespace.
	Fields map[string]func(client.Object) string
	// Default fills in what the real server does at creation.
	Default func(client.Object)
	// Grace is how many seconds a deletion waits for somebody to confirm it, if it does not say itself.
	Grace func(client.Object) int64
	// Kept tells whether something other than metadata.finalizers keeps an object that is being deleted.
	Kept func(client.Object) bool
}

// Kinds are those that macpool has to do with.
func Kinds() []Kind {
	return []Kind{
		{Object: &corev1.Namespace{}, Resource: "namespaces", Cluster: true, Status: true, Ungenerated: true, Unconditional: true, Default: defaultNamespace, Kept: keepsNamespace},
		{Object: &corev1.Node{}, Resource: "nodes", Cluster: true, Status: true, Ungenerated: true, Unconditional: true, Default: defaultNode},
		{
			Object: &corev1.Pod{}, Resource: "pods", Status: true, Unconditional: true, Default: defaultPod, Grace: gracePod,
			Fields: map[string]func(client.Object) string{"spec.nodeName": nodeOfPod},
		},
		{Object: &appsv1.StatefulSet{}, Resource: "statefulsets", Status: true, Unconditional: true},
		{Object: &appsv1.DaemonSet{}, Resource: "daemonsets", Status: true, Unconditional: true},
		{Object: &eventsv1.Event{}, Resource: "events", Ungenerated: true, Unconditional: true},
		{Object: &nadv1.NetworkAttachmentDefinition{}, Resource: "network-attachment-definitions"},
		{Object: &v1alpha1.MacPool{}, Resource: "macpools", Cluster: true, Status: true},
		{
			Object: &v1alpha1.MacClaim{}, Resource: "macclaims", Status: true, Default: defaultClaim,
			Fields: map[string]func(client.Object) string{"status.holder.nodeName": holderNode, "status.alternate.nodeName": alternateNode},
		},
		{
			Object: &v1alpha1.MacLease{}, Resource: "macleases", Cluster: true,
			Fields: map[string]func(client.Object) string{"spec.poolName": poolOfLease, "spec.claimRef.namespace": namespaceOfLease},
		},
		{Object: &v1alpha1.MacNode{}, Resource: "macnodes", Cluster: true, Status: true},
	}
}

// Scheme has the types of Kinds.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, nadv1.AddToScheme, v1alpha1.AddToScheme} {
		utilruntime.Must(add(scheme))
	}
	return scheme
}

func defaultNamespace(object client.Object) {
	if ns, ok := object.(*corev1.Namespace); ok {
		ns.Spec.Finalizers = []corev1.FinalizerName{corev1.FinalizerKubernetes}
		ns.Status.Phase = corev1.NamespaceActive
		if ns.Labels == nil {
			ns.Labels = map[string]string{}
		}
		ns.Labels[corev1.LabelMetadataName] = ns.Name
	}
}

func keepsNamespace(object client.Object) bool {
	ns, ok := object.(*corev1.Namespace)
	return ok && len(ns.Spec.Finalizers) > 0
}

func defaultNode(object client.Object) {
	if node, ok := object.(*corev1.Node); ok && len(node.Spec.Taints) == 0 {
		node.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}}
	}
}

func defaultClaim(object client.Object) {
	if claim, ok := object.(*v1alpha1.MacClaim); ok && claim.Spec.Handover == "" {
		claim.Spec.Handover = v1alpha1.HandoverWait
	}
}

func defaultPod(object client.Object) {
	if pod, ok := object.(*corev1.Pod); ok {
		pod.Status = corev1.PodStatus{Phase: corev1.PodPending}
		if pod.Spec.TerminationGracePeriodSeconds == nil {
			pod.Spec.TerminationGracePeriodSeconds = new(int64(corev1.DefaultTerminationGracePeriodSeconds))
		}
	}
}

// gracePod : a pod that no kubelet has is gone at once.
func gracePod(object client.Object) int64 {
	pod, ok := object.(*corev1.Pod)
	if !ok || pod.Spec.NodeName == "" || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return 0
	}
	if pod.Spec.TerminationGracePeriodSeconds == nil {
		return corev1.DefaultTerminationGracePeriodSeconds
	}
	return *pod.Spec.TerminationGracePeriodSeconds
}

func nodeOfPod(object client.Object) string {
	if pod, ok := object.(*corev1.Pod); ok {
		return pod.Spec.NodeName
	}
	return ""
}

func alternateNode(object client.Object) string {
	if claim, ok := object.(*v1alpha1.MacClaim); ok && claim.Status.Alternate != nil {
		return claim.Status.Alternate.NodeName
	}
	return ""
}

func holderNode(object client.Object) string {
	if claim, ok := object.(*v1alpha1.MacClaim); ok && claim.Status.Holder != nil {
		return claim.Status.Holder.NodeName
	}
	return ""
}

func poolOfLease(object client.Object) string {
	if lease, ok := object.(*v1alpha1.MacLease); ok {
		return lease.Spec.PoolName
	}
	return ""
}

func namespaceOfLease(object client.Object) string {
	if lease, ok := object.(*v1alpha1.MacLease); ok {
		return lease.Spec.ClaimRef.Namespace
	}
	return ""
}

// store is a kind and its objects. An object that is in it, or was, is never changed.
type store struct {
	Kind

	gvk schema.GroupVersionKind
	*table
	// changed is how long the log was after the last change of an object of the kind.
	changed int
	// gone: the server does not serve the kind, because its definition was deleted.
	gone bool
}

func (k *store) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: k.gvk.Group, Resource: k.Resource}
}

// statusOf is the status in an object, by which it can be set. ok is false for a kind without.
func (k *store) statusOf(object client.Object) (status reflect.Value, ok bool) {
	if !k.Status {
		return reflect.Value{}, false
	}
	status = reflect.ValueOf(object).Elem().FieldByName("Status")
	return status, status.IsValid()
}

// sameSpec tells whether two objects differ in nothing that counts as a generation.
func (k *store) sameSpec(a, b client.Object) bool {
	from, to := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range from.NumField() {
		switch name := from.Type().Field(i).Name; {
		case name == "TypeMeta", name == "ObjectMeta", name == "Status" && k.Status:
		case !equality.Semantic.DeepEqual(from.Field(i).Interface(), to.Field(i).Interface()):
			return false
		}
	}
	return true
}
