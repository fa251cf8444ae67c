// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/rig"
)

// The VLANs of the node: one for each pool, and one for plugins that know nothing of VLANs.
const (
	vlanAhead  = 50
	vlanAlone  = 51
	vlanOthers = 52
)

// masterOf is the laboratory's name of a VLAN's link.
func masterOf(vlan int) string { return fmt.Sprintf("eth0.%d", vlan) }

// world is a cluster with one node, on which plugins are called.
type world struct {
	lab  *lab.Lab
	node *lab.Node
	ns   ns.NetNS // the node's
}

// furnish starts macpool with a pool for each way to use it.
func furnish(ctx context.Context, l *lab.Lab, name string) (*world, error) {
	node, err := l.AddNode(ctx, name, vlanAhead, vlanAlone, vlanOthers)
	if err != nil {
		return nil, err
	}
	w := &world{lab: l, node: node}
	if w.ns, err = ns.GetNS(node.NetNS()); err != nil {
		return nil, fmt.Errorf("opening the namespace of %s: %w", name, err)
	}
	if err := l.StartManager(ctx); err != nil {
		return nil, err
	}
	if err := node.StartAgent(ctx); err != nil {
		return nil, err
	}
	for _, namespace := range []string{"ahead", "alone", "floor", "peer"} {
		if err := l.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
			return nil, fmt.Errorf("creating namespace %s: %w", namespace, err)
		}
	}
	if err := w.addPool(ctx, "ahead", vlanAhead, v1alpha1.ConflictProbe); err != nil {
		return nil, err
	}
	return w, w.addPool(ctx, "alone", vlanAlone, v1alpha1.ConflictOff)
}

// addPool makes a pool, and a network of it in the namespace of its name, and waits until the pool knows by which link its nodes ask the VLAN.
func (w *world) addPool(ctx context.Context, name string, vlan int, mode v1alpha1.ConflictMode) error {
	pool := &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: new(int32(vlan)), //nolint:gosec // some 50
			Subnets: []v1alpha1.Subnet{{
				CIDR: v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", vlan)),
				Ranges: []v1alpha1.PoolRange{{AddressRange: v1alpha1.AddressRange{
					Start: v1alpha1.IPAddress(fmt.Sprintf("10.%d.0.10", vlan)), End: v1alpha1.IPAddress(fmt.Sprintf("10.%d.255.250", vlan)),
				}}},
			}},
			ConflictDetection: &v1alpha1.ConflictDetection{Mode: mode},
		},
	}
	if err := w.lab.Client.Create(ctx, pool); err != nil {
		return fmt.Errorf("creating pool %s: %w", name, err)
	}
	net := &nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "net"},
		Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "net", "plugins": [
			{"type": "macvlan", "master": %q, "mode": "bridge", "ipam": {"type": "macpool", "pool": %q}}, {"type": "macpool"}]}`, masterOf(vlan), name)},
	}
	if err := w.lab.Client.Create(ctx, net); err != nil {
		return fmt.Errorf("creating network %s: %w", name, err)
	}
	return eventually(ctx, "pool "+name+" is ready and has its links", func(ctx context.Context) (bool, error) {
		if err := w.lab.Client.Get(ctx, client.ObjectKeyFromObject(pool), pool); err != nil {
			return false, err
		}
		return len(pool.Status.Links) > 0 && apimeta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.PoolReady), nil
	})
}

// pod is a pod with a sandbox that has an interface, which is down and waits for its address.
type pod struct{ sandbox *lab.Sandbox }

func attachments(pods []*pod) []*attachment {
	var all []*attachment
	for _, p := range pods {
		all = append(all, &attachment{
			container: p.sandbox.ID, netns: p.sandbox.NetNS(), namespace: p.sandbox.Pod.Namespace, pod: p.sandbox.Pod.Name, uid: string(p.sandbox.Pod.UID),
		})
	}
	return all
}

// atOnce is how many pods are made, or removed, at a time.
const atOnce = 8

// prepare makes what is there when a main plugin calls its IPAM plugin: the pod, its namespace, its interface; and for macpool what has been done
// by then, or has not.
func (w *world) prepare(ctx context.Context, c *contender, name string, count int) ([]*pod, error) {
	pods := make([]*pod, count)
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range pods {
		group.Go(func() (err error) {
			pods[i], err = w.makePod(within, c, fmt.Sprintf("%s-%d", name, i))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if c.ahead {
		err := eventually(ctx, "all pods of "+c.name+" hold a claim", func(ctx context.Context) (bool, error) {
			claims := &v1alpha1.MacClaimList{}
			err := w.lab.Client.List(ctx, claims, client.InNamespace(c.namespace))
			held := 0
			for i := range claims.Items {
				if status := &claims.Items[i].Status; status.LeaseName != "" && status.Holder != nil {
					held++
				}
			}
			return held == count, err
		})
		if err != nil {
			return nil, err
		}
		return pods, rig.Pause(ctx, probes(count))
	}
	// An agent leaves a younger pod to the manager for a moment. All wait alike, so that nobody's pods are fresher.
	return pods, rig.Pause(ctx, managerAge)
}

const (
	// managerAge is more than the age from which on agents do not expect the manager to have seen a pod.
	managerAge = 2500 * time.Millisecond
	// question is more than it takes to ask the VLAN for an address, and questions how many an agent asks ahead at a time.
	question  = 1200 * time.Millisecond
	questions = 32
)

// probes is how long it takes to ask for so many addresses.
func probes(count int) time.Duration {
	return time.Duration((count+questions-1)/questions)*question + time.Second
}

func (w *world) makePod(ctx context.Context, c *contender, name string) (*pod, error) {
	object := lab.NewPod(c.namespace, name, c.networks)
	if c.networks == "" {
		object.Annotations = nil
	}
	if err := w.lab.CreatePod(ctx, object, w.node); err != nil {
		return nil, err
	}
	sandbox, err := w.node.NewSandbox(object)
	if err != nil {
		return nil, err
	}
	return &pod{sandbox}, w.addLink(sandbox, masterOf(c.vlan))
}

// addLink makes the interface as macvlan does before it calls its IPAM plugin.
func (w *world) addLink(s *lab.Sandbox, master string) error {
	inside, err := ns.GetNS(s.NetNS())
	if err != nil {
		return fmt.Errorf("opening the namespace of pod %s: %w", s.Pod.Name, err)
	}
	defer func() { _ = inside.Close() }()
	err = w.ns.Do(func(ns.NetNS) error {
		parent, err := netlink.LinkByName(master)
		if err != nil {
			return fmt.Errorf("looking up %s: %w", master, err)
		}
		return netlink.LinkAdd(&netlink.Macvlan{
			LinkAttrs: netlink.LinkAttrs{Name: ifName, ParentIndex: parent.Attrs().Index, Namespace: netlink.NsFd(int(inside.Fd()))},
			Mode:      netlink.MACVLAN_MODE_BRIDGE,
		})
	})
	if err != nil {
		return fmt.Errorf("making the interface of pod %s: %w", s.Pod.Name, err)
	}
	return nil
}

// cleanUp removes the pods, and waits until macpool has nothing more to do with them.
func (w *world) cleanUp(ctx context.Context, c *contender, pods []*pod) error {
	ctx = context.WithoutCancel(ctx)
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, p := range pods {
		group.Go(func() error { return errors.Join(p.sandbox.Destroy(), w.lab.ForgetPod(within, p.sandbox.Pod)) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if c.networks == "" {
		return nil
	}
	return eventually(ctx, "the claims of "+c.name+" are gone", func(ctx context.Context) (bool, error) {
		claims := &v1alpha1.MacClaimList{}
		err := w.lab.Client.List(ctx, claims, client.InNamespace(c.namespace))
		return len(claims.Items) == 0, err
	})
}

// eventually waits until something is so; the laboratory is a loaded machine of two cores.
func eventually(ctx context.Context, what string, is wait.ConditionWithContextFunc) error {
	if err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, 2*time.Minute, true, is); err != nil {
		return fmt.Errorf("waiting until %s: %w", what, err)
	}
	return nil
}
