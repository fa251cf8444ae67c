// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"

	cnitypes "github.com/containernetworking/cni/pkg/types"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// NewPod is a pod with a networks annotation; it is not created.
func NewPod(namespace, name, networks string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Annotations: map[string]string{nadv1.NetworkAttachmentAnnot: networks},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
}

// Replica is the pod of one ordinal, as the StatefulSet controller makes it; it is not created.
func Replica(set *appsv1.StatefulSet, ordinal int) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: *set.Spec.Template.ObjectMeta.DeepCopy(), Spec: *set.Spec.Template.Spec.DeepCopy()}
	pod.Namespace, pod.Name = set.Namespace, fmt.Sprintf("%s-%d", set.Name, ordinal)
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[appsv1.StatefulSetPodNameLabel] = pod.Name
	pod.Labels[appsv1.PodIndexLabel] = fmt.Sprint(ordinal)
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}
	pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, set.Spec.ServiceName
	return pod
}

// CreatePod creates the pod and then binds it to the node, as the scheduler does.
func (l *Lab) CreatePod(ctx context.Context, pod *corev1.Pod, node *Node) error {
	if err := l.Client.Create(ctx, pod); err != nil {
		return fmt.Errorf("creating pod %s: %w", pod.Name, err)
	}
	return l.Bind(ctx, pod, node)
}

// Bind schedules the pod to the node.
func (l *Lab) Bind(ctx context.Context, pod *corev1.Pod, node *Node) error {
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node.Name},
	}
	if err := l.Client.SubResource("binding").Create(ctx, pod, binding); err != nil {
		return fmt.Errorf("binding pod %s to %s: %w", pod.Name, node.Name, err)
	}
	pod.Spec.NodeName = node.Name
	return nil
}

// RunPod is what a kubelet does with a pod that was bound to its node: a sandbox, attached to each network that the annotation
// names, and the pod is running. When an ADD fails, nothing is left.
func (l *Lab) RunPod(ctx context.Context, pod *corev1.Pod, node *Node) (*Sandbox, error) {
	nets, err := l.Networks(ctx, pod)
	if err != nil {
		return nil, err
	}
	s, err := node.NewSandbox(pod)
	if err != nil {
		return nil, err
	}
	for _, net := range nets {
		if _, err := s.Attach(ctx, net); err != nil {
			return nil, errors.Join(err, s.Remove(context.WithoutCancel(ctx)))
		}
	}
	status, err := s.NetworkStatus()
	if err != nil {
		return nil, err
	}
	s.Pod, err = l.ReportRunning(ctx, s.Pod, status)
	return s, err
}

// RunPodRetrying is RunPod again and again, each time with a new sandbox, while plugins answer that it may work later (CNI
// code 11). kubelet tries again after any error, and less often.
func (l *Lab) RunPodRetrying(ctx context.Context, pod *corev1.Pod, node *Node) (s *Sandbox, err error) {
	const tryAgain = 11
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var last error
	err = wait.PollUntilContextCancel(ctx, 4*pollInterval, true, func(ctx context.Context) (bool, error) {
		s, last = l.RunPod(ctx, pod, node)
		if last != nil && CNICode(last) != tryAgain {
			return false, last
		}
		return last == nil, nil
	})
	if err != nil {
		return nil, errors.Join(last, err)
	}
	return s, nil
}

// CNICode is the code of the CNI error in err, 0 if there is none.
func CNICode(err error) uint {
	var e *cnitypes.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// Pod reads a pod.
func (l *Lab) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	if err := l.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, pod); err != nil {
		return nil, fmt.Errorf("getting pod %s: %w", name, err)
	}
	return pod, nil
}

// ReportRunning writes what kubelet and Multus write, the phase and the annotation network-status, and returns the pod as it is then.
func (l *Lab) ReportRunning(ctx context.Context, pod *corev1.Pod, networkStatus string) (*corev1.Pod, error) {
	patch := client.MergeFrom(pod.DeepCopy())
	running := pod.DeepCopy()
	running.Annotations[nadv1.NetworkStatusAnnot] = networkStatus
	running.Status.Phase = corev1.PodRunning
	// Annotations may be written along with the status, which is how Multus does it.
	if err := l.Client.Status().Patch(ctx, running, patch); err != nil {
		return nil, fmt.Errorf("reporting pod %s as running: %w", pod.Name, err)
	}
	return running, nil
}

// StopPod deletes the pod as a cluster does: marked for deletion, torn down by its kubelet, then removed from the API.
func (l *Lab) StopPod(ctx context.Context, s *Sandbox) error {
	if err := l.Client.Delete(ctx, s.Pod); err != nil {
		return fmt.Errorf("deleting pod %s: %w", s.Pod.Name, err)
	}
	if err := s.Remove(ctx); err != nil {
		return err
	}
	return l.ForgetPod(ctx, s.Pod)
}

// ForgetPod removes the pod from the API at once, as kubelet does at the end and an impatient person at the beginning.
func (l *Lab) ForgetPod(ctx context.Context, pod *corev1.Pod) error {
	uid := pod.UID
	err := l.Client.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &uid})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing pod %s: %w", pod.Name, err)
	}
	return nil
}
