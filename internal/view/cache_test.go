// SPDX-License-Identifier: Apache-2.0

package view

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
)

func TestWhatIsKept(t *testing.T) {
	now := metav1.Now()
	full := func(annotations map[string]string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "home", Name: "pod", UID: "1", ResourceVersion: "2", CreationTimestamp: now, DeletionTimestamp: &now,
				Annotations: annotations, Labels: map[string]string{"a": "b"},
				OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: "pod", Controller: new(true)}},
				ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
			},
			Spec: corev1.PodSpec{
				NodeName: "node-1", HostNetwork: true, Containers: []corev1.Container{{Name: "main"}}, Volumes: []corev1.Volume{{Name: "v"}},
			},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1"},
		}
	}
	name := metav1.ObjectMeta{Namespace: "home", Name: "pod", UID: "1", ResourceVersion: "2"}
	networks := map[string]string{
		nadv1.NetworkAttachmentAnnot: "iot", nadv1.NetworkStatusAnnot: "[]", "other": "x",
		"kubernetes.io/config.mirror": "m", "kubernetes.io/config.hash": "h",
	}
	for what, tc := range map[string]struct {
		transform toolscache.TransformFunc
		in, want  any
	}{
		"a pod without networks": {stripPod, full(map[string]string{"other": "x"}), &corev1.Pod{ObjectMeta: name}},
		"a pod with networks": {stripPod, full(networks), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "home", Name: "pod", UID: "1", ResourceVersion: "2", CreationTimestamp: now, DeletionTimestamp: &now,
				Annotations: map[string]string{
					nadv1.NetworkAttachmentAnnot: "iot", "kubernetes.io/config.mirror": "m", "kubernetes.io/config.hash": "h",
				},
				OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: "pod", Controller: new(true)}},
			},
			Spec:   corev1.PodSpec{NodeName: "node-1", HostNetwork: true},
			Status: corev1.PodStatus{Phase: corev1.PodRunning},
		}},
		"a pod with our gate and no networks": {
			stripPod,
			&corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "pod", UID: "1", ResourceVersion: "2", Labels: map[string]string{"a": "b"}},
				Spec: corev1.PodSpec{
					SchedulingGates: []corev1.PodSchedulingGate{{Name: "other"}, {Name: "macpool.dev/lease"}},
					Containers:      []corev1.Container{{Name: "main"}},
				},
			},
			&corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "pod", UID: "1", ResourceVersion: "2", Annotations: map[string]string{}},
				Spec:       corev1.PodSpec{SchedulingGates: []corev1.PodSchedulingGate{{Name: "macpool.dev/lease"}}},
			},
		},
		"a namespace": {
			stripNamespace,
			&corev1.Namespace{
				ObjectMeta: metav1.ObjectMeta{Name: "home", UID: "1", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"}},
				Spec:       corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{"kubernetes"}},
			},
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "home", UID: "1", Labels: map[string]string{"a": "b"}}},
		},
		"a node": {
			stripNode,
			&corev1.Node{
				ObjectMeta: metav1.ObjectMeta{Name: "node-1", UID: "1", Labels: map[string]string{"a": "b"}},
				Spec:       corev1.NodeSpec{PodCIDR: "10.0.0.0/24", Taints: []corev1.Taint{{Key: corev1.TaintNodeOutOfService}}},
				Status: corev1.NodeStatus{
					Conditions: []corev1.NodeCondition{{Type: corev1.NodeDiskPressure}, {Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: now}},
					Images:     []corev1.ContainerImage{{Names: []string{"none"}}},
				},
			},
			&corev1.Node{
				ObjectMeta: metav1.ObjectMeta{Name: "node-1", UID: "1"},
				Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: corev1.TaintNodeOutOfService}}},
				Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
			},
		},
		"a StatefulSet": {
			stripToName,
			&metav1.PartialObjectMetadata{
				TypeMeta:   metav1.TypeMeta{Kind: "StatefulSet", APIVersion: appsv1.SchemeGroupVersion.String()},
				ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "db", UID: "1", Labels: map[string]string{"a": "b"}},
			},
			&metav1.PartialObjectMetadata{
				TypeMeta:   metav1.TypeMeta{Kind: "StatefulSet", APIVersion: appsv1.SchemeGroupVersion.String()},
				ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "db", UID: "1"},
			},
		},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := tc.transform(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
