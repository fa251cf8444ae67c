// SPDX-License-Identifier: Apache-2.0

package farm

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/e2e/lab"
)

// parallelPods is how many pods are made, scheduled or removed at a time: more than the controllers of a cluster do.
const parallelPods = 32

// Replicas are the pods of a StatefulSet of that name, with an interface of each network. The set is made when it is not there; the pods are
// not made. One pod of a set follows another under the same identity.
func (p *Pool) Replicas(ctx context.Context, name, networks string, count int) ([]*corev1.Pod, error) {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: p.Name, Name: name}}
	template := lab.NewPod(p.Name, name, networks)
	template.Labels = map[string]string{"app": name}
	set.Spec = appsv1.StatefulSetSpec{
		ServiceName: name, Replicas: new(int32(count)), //nolint:gosec // thousands
		Selector: &metav1.LabelSelector{MatchLabels: template.Labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: template.Labels, Annotations: template.Annotations}, Spec: template.Spec},
	}
	if err := p.farm.Client.Create(ctx, set); err != nil {
		return nil, fmt.Errorf("creating StatefulSet %s: %w", name, err)
	}
	return Successors(set, count), nil
}

// Successors are pods of the set that are not made yet.
func Successors(set *appsv1.StatefulSet, count int) []*corev1.Pod {
	pods := make([]*corev1.Pod, count)
	for i := range pods {
		pods[i] = lab.Replica(set, i)
	}
	return pods
}

// Again are pods like those, which were removed, under the same identities.
func Again(pods []*corev1.Pod) []*corev1.Pod {
	all := make([]*corev1.Pod, len(pods))
	for i, pod := range pods {
		all[i] = pod.DeepCopy()
		all[i].ResourceVersion, all[i].UID, all[i].CreationTimestamp = "", "", metav1.Time{}
		all[i].Spec.NodeName = ""
		all[i].Status = corev1.PodStatus{}
	}
	return all
}

// Plain are pods without a controller.
func (p *Pool) Plain(prefix, networks string, count int) []*corev1.Pod {
	pods := make([]*corev1.Pod, count)
	for i := range pods {
		pods[i] = lab.NewPod(p.Name, fmt.Sprintf("%s-%d", prefix, i), networks)
	}
	return pods
}

// NodeOf is the node of the i-th pod: they go round.
func (f *Farm) NodeOf(i int) *lab.Node { return f.Nodes[i%len(f.Nodes)] }

// Create makes the pods and schedules them, the i-th to NodeOf(i).
func (f *Farm) Create(ctx context.Context, pods []*corev1.Pod) error {
	return f.all(ctx, pods, func(ctx context.Context, i int, pod *corev1.Pod) error { return f.CreatePod(ctx, pod, f.NodeOf(i)) })
}

// Remove removes the pods from the API, as a kubelet does at the end.
func (f *Farm) Remove(ctx context.Context, pods []*corev1.Pod) error {
	return f.all(ctx, pods, func(ctx context.Context, _ int, pod *corev1.Pod) error { return f.ForgetPod(ctx, pod) })
}

func (f *Farm) all(ctx context.Context, pods []*corev1.Pod, do func(ctx context.Context, i int, pod *corev1.Pod) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelPods)
	for i, pod := range pods {
		group.Go(func() error { return do(ctx, i, pod) })
	}
	return group.Wait()
}
