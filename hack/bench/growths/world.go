// SPDX-License-Identifier: Apache-2.0

package growths

import (
	"context"
	"errors"
	"fmt"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

const (
	namespace = "farm" // of what is stored
	poolName  = "farm" // the pool of the leases that are stored
	quickPool = "quick"
	passing   = "adds" // where the pods are that come and go: a watch of their claims does not begin with those that are stored
)

// world is a cluster with so many leases.
type world struct {
	*lab.Lab

	node     *lab.Node
	template *template
	leases   int
	vlan     int
}

// settle makes a node with its agent, a pool, and one pod of a StatefulSet that went all the way. The VLAN of the pool is the first one of the
// node.
func settle(ctx context.Context, l *lab.Lab, node string, vlans ...int) (*world, error) {
	w := &world{Lab: l, vlan: vlans[0]}
	if err := l.StartManager(ctx); err != nil {
		return nil, err
	}
	var err error
	if w.node, err = l.AddNode(ctx, node, vlans...); err != nil {
		return nil, err
	}
	if err := w.node.StartAgent(ctx); err != nil {
		return nil, err
	}
	for _, name := range []string{namespace, passing} {
		if err := l.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return nil, fmt.Errorf("creating namespace %s: %w", name, err)
		}
	}
	if err := w.addPool(ctx, poolName, vlans[0], "10.0.0.0/8", v1alpha1.ConflictProbe); err != nil {
		return nil, err
	}
	set := newSet()
	if err := l.Client.Create(ctx, set); err != nil {
		return nil, fmt.Errorf("creating a StatefulSet: %w", err)
	}
	pod := lab.Replica(set, 0)
	if err := l.CreatePod(ctx, pod, w.node); err != nil {
		return nil, err
	}
	sandbox, err := l.RunPodRetrying(ctx, pod, w.node)
	if err != nil {
		return nil, fmt.Errorf("running the first pod: %w", err)
	}
	w.template, err = readTemplate(ctx, l.Client, sandbox.Pod)
	return w, err
}

func newSet() *appsv1.StatefulSet {
	labels := map[string]string{"app": "tpl"}
	return &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "tpl"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: ptr.To[int32](1), ServiceName: "tpl", Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{nadv1.NetworkAttachmentAnnot: poolName}},
				Spec:       lab.NewPod(namespace, "tpl", poolName).Spec,
			},
		},
	}
}

// addPool makes a pool and a network of its name, and waits until pods can have it on the node.
func (w *world) addPool(ctx context.Context, name string, vlan int, cidr v1alpha1.CIDR, mode v1alpha1.ConflictMode) error {
	pool := newPool(name, vlan, cidr)
	pool.Spec.ConflictDetection = &v1alpha1.ConflictDetection{Mode: mode}
	for _, object := range []client.Object{pool, &nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: fmt.Sprintf(`{"cniVersion": "1.1.0", "name": %q, "plugins": [
			{"type": "macvlan", "master": "eth0.%d", "mode": "bridge", "ipam": {"type": "macpool", "pool": %q}},
			{"type": "macpool"}]}`, name, vlan, name)},
	}} {
		if err := w.Client.Create(ctx, object); err != nil {
			return fmt.Errorf("creating %T %s: %w", object, name, err)
		}
	}
	return eventually(ctx, time.Minute, func(ctx context.Context) error {
		if err := w.Client.Get(ctx, client.ObjectKeyFromObject(pool), pool); err != nil {
			return err
		}
		if !apimeta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.PoolReady) || len(pool.Status.Links) == 0 {
			return errors.New("pool " + name + " is not ready, or has no link")
		}
		return nil
	})
}

func newPool(name string, vlan int, cidr v1alpha1.CIDR) *v1alpha1.MacPool {
	return &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.MacPoolSpec{
			VLAN:    new(int32(vlan)), //nolint:gosec // G115: below 4095
			Subnets: []v1alpha1.Subnet{{CIDR: cidr}}, Cooldown: &metav1.Duration{},
		},
	}
}

// grow stores leases until there are so many.
func (w *world) grow(ctx context.Context, leases int) error {
	if err := w.template.seed(ctx, w.Lab, w.leases, leases); err != nil {
		return err
	}
	w.leases = leases
	return nil
}

// eventually does it again until it succeeds; the error is the last one.
func eventually(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, limit, true, func(ctx context.Context) (bool, error) {
		last = do(ctx)
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}
