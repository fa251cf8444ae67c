// SPDX-License-Identifier: Apache-2.0

package adds

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/rig"
)

const (
	// vlan is the one VLAN of all candidates: their interfaces have one parent.
	vlan = 50
	// most is how many pods the node has at once: what a kubelet allows.
	most = 110
	// patience is for how long anything is waited for.
	patience = time.Minute
)

// world is a cluster of one node, with network namespaces in which pods are attached, again and again: no candidate pays for their making.
type world struct {
	*rig.Rig

	lab     *lab.Lab
	node    *lab.Node
	metrics string // where the agent serves its own
	spaces  []*lab.Sandbox
}

func newWorld(ctx context.Context, r *rig.Rig) (*world, error) {
	plugins := filepath.Join(r.Disk, "plugins")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", plugins+"/", "./hack/bench/skelonly") //nolint:gosec // our own
	build.Dir = r.Options.Root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the plugin that does nothing: %w\n%s", err, out)
	}
	r.Options.State, r.Options.Plugins = r.Disk, []string{plugins}
	w := &world{Rig: r}
	var err error
	if w.lab, err = r.Lab(ctx); err != nil {
		return nil, err
	}
	if err := w.lab.StartManager(ctx); err != nil {
		return nil, err
	}
	if w.node, err = w.lab.AddNode(ctx, "node", vlan); err != nil {
		return nil, fmt.Errorf("adding a node: %w", err)
	}
	if err := w.node.StartAgent(ctx); err != nil {
		return nil, err
	}
	if w.metrics, err = w.node.Metrics(ctx); err != nil {
		return nil, err
	}
	for range most {
		space, err := w.node.NewSandbox(&corev1.Pod{})
		if err != nil {
			return nil, err
		}
		w.spaces = append(w.spaces, space)
	}
	return w, nil
}

// await polls until done returns nil.
func await(ctx context.Context, what string, done func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = done(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", what, errors.Join(last, err))
	}
	return nil
}

// tenancy is a namespace with a pool and a network of its own.
type tenancy struct {
	world *world
	name  string
	net   lab.Network
	made  int // pods so far
}

// newTenancy makes a pool of 10.<second>.0.0/16, and waits until it takes claims and the agent knows by which link its pods will come.
func (w *world) newTenancy(ctx context.Context, name string, second int, mode v1alpha1.ConflictMode) (*tenancy, error) {
	t := &tenancy{world: w, name: name}
	pool := &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: new(int32(vlan)), Cooldown: &metav1.Duration{},
			Subnets: []v1alpha1.Subnet{{
				CIDR: v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", second)),
				Ranges: []v1alpha1.PoolRange{{AddressRange: v1alpha1.AddressRange{
					Start: v1alpha1.IPAddress(fmt.Sprintf("10.%d.0.10", second)), End: v1alpha1.IPAddress(fmt.Sprintf("10.%d.31.255", second)),
				}}},
			}},
			ConflictDetection: &v1alpha1.ConflictDetection{Mode: mode},
		},
	}
	config := fmt.Sprintf(`{"cniVersion": "1.1.0", "name": %q, "plugins": [
		{"type": "macvlan", "master": "eth0.%d", "mode": "bridge", "ipam": {"type": "macpool", "pool": %q}},
		{"type": "macpool"}]}`, name, vlan, name)
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
		pool,
		&nadv1.NetworkAttachmentDefinition{
			ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "net"}, Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: config},
		},
	} {
		if err := w.lab.Client.Create(ctx, object); err != nil {
			return nil, fmt.Errorf("creating the %T of %s: %w", object, name, err)
		}
	}
	t.net = lab.Network{Name: name + "/net", Config: config, Interface: "net1"}
	return t, await(ctx, "pool "+name, func(ctx context.Context) error {
		if err := w.lab.Client.Get(ctx, client.ObjectKeyFromObject(pool), pool); err != nil {
			return err
		}
		if !apimeta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.PoolReady) || len(pool.Status.Links) == 0 {
			return errors.New("it is not ready, or has no links")
		}
		return nil
	})
}

// pods makes pods on the node.
func (t *tenancy) pods(ctx context.Context, count int) ([]*corev1.Pod, error) {
	all := make([]*corev1.Pod, count)
	for i := range all {
		all[i] = lab.NewPod(t.name, fmt.Sprintf("pod-%d", t.made), "net")
		t.made++
	}
	return all, crowd(8, count, func(i int) error { return t.world.lab.CreatePod(ctx, all[i], t.world.node) })
}

// bound waits until the manager has bound a claim for each pod.
func (t *tenancy) bound(ctx context.Context, pods []*corev1.Pod) error {
	return await(ctx, "claims of "+t.name, func(ctx context.Context) error {
		var claims v1alpha1.MacClaimList
		if err := t.world.lab.Client.List(ctx, &claims, client.InNamespace(t.name)); err != nil {
			return err
		}
		held := map[string]bool{}
		for i := range claims.Items {
			if h := claims.Items[i].Status.Holder; h != nil && claims.Items[i].Status.LeaseName != "" {
				held[h.PodName] = true
			}
		}
		for _, pod := range pods {
			if !held[pod.Name] {
				return fmt.Errorf("pod %s holds no claim", pod.Name)
			}
		}
		return nil
	})
}

// forget removes the pods, and waits until nothing is left of them: what comes next is not to be disturbed by it.
func (t *tenancy) forget(ctx context.Context, pods []*corev1.Pod) error {
	if err := crowd(8, len(pods), func(i int) error { return t.world.lab.ForgetPod(ctx, pods[i]) }); err != nil {
		return err
	}
	return await(ctx, "the end of the claims of "+t.name, func(ctx context.Context) error {
		var claims v1alpha1.MacClaimList
		if err := t.world.lab.Client.List(ctx, &claims, client.InNamespace(t.name)); err != nil {
			return err
		}
		if n := len(claims.Items); n > 0 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
}
