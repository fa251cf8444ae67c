// SPDX-License-Identifier: Apache-2.0

package view

import (
	"slices"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// AnnotationTargetReady is when KubeVirt has seen a VM run in the pod to which it migrates.
const AnnotationTargetReady = "kubevirt.io/migration-target-ready-timestamp"

// keptAnnotations of a pod are what decides about its networks, the UID that a static pod has for its runtime, and where a VM runs.
var keptAnnotations = []string{
	nadv1.NetworkAttachmentAnnot, corev1.MirrorPodAnnotationKey, "kubernetes.io/config.hash", AnnotationTargetReady,
}

// CacheOptions make the manager's cache keep of the cluster's pods and nodes only what macpool reads. Most pods have no second
// interface, and not our gate; of those it keeps the name.
func CacheOptions() cache.Options {
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		NewInformer:      new(turns).newInformer,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:         {Transform: stripPod},
			&corev1.Namespace{}:   {Transform: stripNamespace},
			&corev1.Node{}:        {Transform: stripNode},
			&appsv1.StatefulSet{}: {Transform: stripToName},
		},
	}
}

func stripPod(in any) (any, error) {
	pod, ok := in.(*corev1.Pod)
	if !ok {
		return in, nil
	}
	slim := &corev1.Pod{ObjectMeta: nameOf(pod)}
	if IsGated(pod) {
		slim.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: v1alpha1.GateLease}}
	} else if pod.Annotations[nadv1.NetworkAttachmentAnnot] == "" {
		return slim, nil
	}
	slim.CreationTimestamp = pod.CreationTimestamp
	slim.DeletionTimestamp = pod.DeletionTimestamp
	slim.OwnerReferences = pod.OwnerReferences
	slim.Annotations = map[string]string{}
	for _, key := range keptAnnotations {
		if value, ok := pod.Annotations[key]; ok {
			slim.Annotations[key] = value
		}
	}
	if hash, ok := pod.Labels[binding.LabelTemplateHash]; ok {
		slim.Labels = map[string]string{binding.LabelTemplateHash: hash}
	}
	slim.Spec.NodeName = pod.Spec.NodeName
	slim.Spec.HostNetwork = pod.Spec.HostNetwork
	slim.Status.Phase = pod.Status.Phase
	return slim, nil
}

// IsGated tells whether the pod has the scheduling gate that macpool removes.
func IsGated(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return g.Name == v1alpha1.GateLease })
}

func stripNamespace(in any) (any, error) {
	ns, ok := in.(*corev1.Namespace)
	if !ok {
		return in, nil
	}
	slim := &corev1.Namespace{ObjectMeta: nameOf(ns)}
	slim.Labels = ns.Labels
	return slim, nil
}

// stripNode keeps what tells whether the node is there, reports, or is fenced, how many pods it can run, and the labels that are macpool's.
func stripNode(in any) (any, error) {
	node, ok := in.(*corev1.Node)
	if !ok {
		return in, nil
	}
	slim := &corev1.Node{ObjectMeta: nameOf(node)}
	for key, value := range node.Labels {
		if strings.HasPrefix(key, v1alpha1.LabelNodePrefix) {
			if slim.Labels == nil {
				slim.Labels = map[string]string{}
			}
			slim.Labels[key] = value
		}
	}
	slim.Spec.Taints = node.Spec.Taints
	if pods, ok := node.Status.Allocatable[corev1.ResourcePods]; ok {
		slim.Status.Allocatable = corev1.ResourceList{corev1.ResourcePods: pods}
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			slim.Status.Conditions = []corev1.NodeCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	return slim, nil
}

// stripToName is for objects of which only the existence counts, watched metadata only.
func stripToName(in any) (any, error) {
	object, ok := in.(*metav1.PartialObjectMetadata)
	if !ok {
		return in, nil
	}
	return &metav1.PartialObjectMetadata{TypeMeta: object.TypeMeta, ObjectMeta: nameOf(object)}, nil
}

func nameOf(object metav1.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: object.GetNamespace(), Name: object.GetName(),
		UID: object.GetUID(), ResourceVersion: object.GetResourceVersion(),
	}
}
