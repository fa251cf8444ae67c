// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// holderNode is the field by which MacClaims can be selected.
const holderNode = "status.holder.nodeName"

// holderUID is an index of the cached MacClaims: an ADD looks for what its pod holds, and a node may hold some hundred.
const holderUID = "holderUID"

// podsThatHold are the UIDs of the pods that hold a claim.
func podsThatHold(object client.Object) []string {
	claim, ok := object.(*v1alpha1.MacClaim)
	if !ok {
		return nil
	}
	var all []string
	for _, holder := range binding.Holders(claim) {
		all = append(all, string(holder.PodUID))
	}
	return all
}

// dialTimeout bounds one try to connect. A node that comes back from a partition must notice within seconds (R-G7), and a
// SYN that was lost in it is repeated by the kernel at intervals that have grown long by then.
const dialTimeout = 2 * time.Second

// annotations of a mirror pod that binding.PodUID reads, and the one that may name claims.
var keptAnnotations = []string{"kubernetes.io/config.mirror", "kubernetes.io/config.hash", networksAnnotation}

const networksAnnotation = "k8s.v1.cni.cncf.io/networks"

// cluster is the agent's way to the API: a client whose every call is live, and caches of what concerns this node.
type cluster struct {
	client.Client

	cache *caches
}

func newCluster(config *rest.Config, nodeName string) (*cluster, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, eventsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("making the scheme: %w", err)
		}
	}
	config = rest.CopyConfig(config)
	if config.Dial == nil {
		config.Dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: dialTimeout}).DialContext
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making the HTTP client: %w", err)
	}
	mapper := newMapper()
	live, err := client.New(config, client.Options{HTTPClient: httpClient, Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	options := cacheOptions(nodeName)
	options.HTTPClient, options.Scheme, options.Mapper = httpClient, scheme, mapper
	caches, err := newCaches(func() (cache.Cache, error) { return cache.New(config, options) })
	if err != nil {
		return nil, err
	}
	return &cluster{Client: live, cache: caches}, nil
}

// cacheOptions are what the caches of a node's agent keep.
func cacheOptions(nodeName string) cache.Options {
	return cache.Options{
		ReaderFailOnMissingInformer: true,
		DefaultTransform:            cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}: {
				Field:     fields.OneTermEqualSelector("spec.nodeName", nodeName),
				Transform: stripPod,
			},
			&v1alpha1.MacClaim{}: {Field: fields.OneTermEqualSelector(holderNode, nodeName)},
			&v1alpha1.MacPool{}:  {},
		},
	}
}

// newMapper knows the few kinds that the agent uses, so that it starts without asking the API what there is (R-C6).
func newMapper() apimeta.RESTMapper {
	m := apimeta.NewDefaultRESTMapper([]schema.GroupVersion{corev1.SchemeGroupVersion, eventsv1.SchemeGroupVersion, v1alpha1.GroupVersion})
	m.Add(corev1.SchemeGroupVersion.WithKind("Pod"), apimeta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), apimeta.RESTScopeRoot)
	m.Add(corev1.SchemeGroupVersion.WithKind("Node"), apimeta.RESTScopeRoot)
	m.Add(eventsv1.SchemeGroupVersion.WithKind("Event"), apimeta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("MacNode"), apimeta.RESTScopeRoot)
	m.Add(v1alpha1.GroupVersion.WithKind("MacClaim"), apimeta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("MacPool"), apimeta.RESTScopeRoot)
	m.Add(v1alpha1.GroupVersion.WithKind("MacLease"), apimeta.RESTScopeRoot)
	return m
}

// stripPod keeps of a pod what ADD and the reaper read. A node's pods are some megabytes otherwise.
func stripPod(in any) (any, error) {
	pod, ok := in.(*corev1.Pod)
	if !ok {
		return in, nil
	}
	kept := &corev1.Pod{
		TypeMeta: pod.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp,
			OwnerReferences: pod.OwnerReferences,
		},
		Spec:   corev1.PodSpec{NodeName: pod.Spec.NodeName, HostNetwork: pod.Spec.HostNetwork},
		Status: corev1.PodStatus{Phase: pod.Status.Phase},
	}
	for _, key := range keptAnnotations {
		if value, ok := pod.Annotations[key]; ok && (key != networksAnnotation || binding.NamesClaims(value)) {
			if kept.Annotations == nil {
				kept.Annotations = map[string]string{}
			}
			kept.Annotations[key] = value
		}
	}
	if hash, ok := pod.Labels[binding.LabelTemplateHash]; ok {
		kept.Labels = map[string]string{binding.LabelTemplateHash: hash}
	}
	for _, s := range pod.Status.ContainerStatuses {
		status := corev1.ContainerStatus{Name: s.Name}
		if s.State.Terminated != nil {
			status.State.Terminated = &corev1.ContainerStateTerminated{}
		}
		kept.Status.ContainerStatuses = append(kept.Status.ContainerStatuses, status)
	}
	return kept, nil
}
