// SPDX-License-Identifier: Apache-2.0

//go:build vlan

package vlan_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/e2e/vlan/guestapi"
)

const namespace = "default"

// Time limits, several times what a loaded machine needs. A reply that comes takes none of them.
const (
	patience = 90 * time.Second
	replyIn  = 10 * time.Second
)

// silence is how long nobody may answer: longer than a kernel asks for an address that is not there.
const silence = 4 * time.Second

// eventually polls until f has nothing to complain about.
func eventually(t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	last := errors.New("not tried")
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = f(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("waiting until %s: %v: %v", what, err, last)
	}
}

// makeNetwork makes a pool for a VLAN and the network of the same name. All have the same subnets, and MACs of their own.
func makeNetwork(t *testing.T, name string, vlan int32) {
	t.Helper()
	pool := &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: &vlan,
			MAC:  &v1alpha1.MACPolicy{Prefix: v1alpha1.MACPrefix(fmt.Sprintf("02:%02x:00", vlan))},
			Subnets: []v1alpha1.Subnet{
				// With a gateway, macvlan waits until the IPv6 address is known to be nobody else's.
				{CIDR: "192.168.50.0/24", Gateway: "192.168.50.1"}, {CIDR: "fd00:50::/64", Gateway: "fd00:50::1"},
			},
		},
	}
	nad := &nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: fmt.Sprintf(`{"cniVersion": "1.0.0", "name": %[1]q, "plugins": [
			{"type": "macvlan", "master": "eth0.%[2]d", "mode": "bridge", "ipam": {"type": "macpool", "pool": %[1]q}},
			{"type": "macpool"}]}`, name, vlan)},
	}
	for _, o := range []client.Object{pool, nad} {
		if err := cluster.Client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "pool "+name+" is ready", func(ctx context.Context) error {
		if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(pool), pool); err != nil {
			return err
		}
		if !apimeta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.PoolReady) {
			return fmt.Errorf("conditions: %+v", pool.Status.Conditions)
		}
		return nil
	})
}

// pod is a running pod.
type pod struct {
	*corev1.Pod

	node    *machine
	sandbox *guestapi.Sandbox
	leased  v1alpha1.MacLease
}

func (p *pod) ips() []netip.Addr {
	var ips []netip.Addr
	for _, ip := range p.leased.Spec.IPs {
		ips = append(ips, netip.MustParseAddr(string(ip)))
	}
	return ips
}

// mac is the MAC that the API says.
func (p *pod) mac() string { return string(p.leased.Spec.MAC) }

// run creates a pod, binds it to the node and has it attached there, as often as a kubelet would. It fails unless the link in
// the pod has what the lease says, two addresses, and network-status says the same.
func run(t *testing.T, object *corev1.Pod, node *machine) *pod {
	t.Helper()
	if err := cluster.CreatePod(t.Context(), object, node.Node); err != nil {
		t.Fatal(err)
	}
	networks, err := cluster.Networks(t.Context(), object)
	if err != nil {
		t.Fatal(err)
	}
	p := &pod{node: node}
	request := guestapi.Pod{Namespace: object.Namespace, Name: object.Name, UID: string(object.UID), Networks: networks}
	eventually(t, "pod "+object.Name+" is attached", func(context.Context) error {
		p.sandbox, err = node.Attach(request)
		if err != nil && !errors.Is(err, guestapi.ErrTryAgain) {
			t.Fatalf("attaching %s on %s: %v", object.Name, node.Name, err)
		}
		return err
	})
	if p.Pod, err = cluster.ReportRunning(t.Context(), object, p.sandbox.NetworkStatus); err != nil {
		t.Fatal(err)
	}
	if p.leased, err = leaseOf(t.Context(), p.sandbox.Link.MAC); err != nil {
		t.Fatal(err)
	}
	var has []netip.Addr
	for _, prefix := range p.sandbox.Link.IPs {
		has = append(has, prefix.Addr())
	}
	if want := p.ips(); len(want) != 2 || !sameAddresses(has, want) || !p.sandbox.Link.Up {
		t.Fatalf("%s was leased %s %v, its link is\n%s", object.Name, p.mac(), want, &p.sandbox.Link)
	}
	progress("%s is attached on %s: %s %v", object.Name, node.Name, p.mac(), p.ips())
	return p
}

// newPod asks for one network, and for an address of it.
func newPod(name, network, ip string) *corev1.Pod {
	return lab.NewPod(namespace, name, fmt.Sprintf(`[{"name": %q, "ips": ["%s/24"]}]`, network, ip))
}

// stop ends a pod as a cluster does.
func (p *pod) stop(t *testing.T) {
	t.Helper()
	if err := cluster.Client.Delete(t.Context(), p.Pod); err != nil {
		t.Fatal(err)
	}
	if err := p.node.Remove(p.sandbox.ID); err != nil {
		t.Fatal(err)
	}
	if err := cluster.ForgetPod(t.Context(), p.Pod); err != nil {
		t.Fatal(err)
	}
}

// leaseOf is the lease of a MAC.
func leaseOf(ctx context.Context, mac string) (v1alpha1.MacLease, error) {
	all := &v1alpha1.MacLeaseList{}
	if err := cluster.Client.List(ctx, all); err != nil {
		return v1alpha1.MacLease{}, err
	}
	for _, l := range all.Items {
		if string(l.Spec.MAC) == mac && l.Spec.ReleasedAt == nil {
			return l, nil
		}
	}
	return v1alpha1.MacLease{}, fmt.Errorf("%s is on a link, and not leased", mac)
}

// allLeases are all that there were: a record stays for days.
func allLeases(t *testing.T, vlans map[string]int) leases {
	t.Helper()
	all := &v1alpha1.MacLeaseList{}
	if err := cluster.Client.List(context.WithoutCancel(t.Context()), all); err != nil {
		t.Fatal(err)
	}
	out := leases{}
	for _, l := range all.Items {
		vid := vlans[l.Spec.PoolName]
		if out[vid] == nil {
			out[vid] = map[string][]netip.Addr{}
		}
		for _, ip := range l.Spec.IPs {
			out[vid][string(l.Spec.MAC)] = append(out[vid][string(l.Spec.MAC)], netip.MustParseAddr(string(ip)))
		}
	}
	return out
}

// reach pings every address of another pod once.
func (p *pod) reach(t *testing.T, to *pod) {
	t.Helper()
	for _, ip := range to.ips() {
		if _, err := p.node.Ping(p.sandbox.ID, ip, replyIn); err != nil {
			t.Errorf("from %s to %s: %v", p.node.Name, to.node.Name, err)
		}
	}
}

// entries are the MACs that the pod's kernel has for the addresses, "" for those that it has none for.
func (p *pod) entries(t *testing.T, ips []netip.Addr) map[netip.Addr]string {
	t.Helper()
	neighbours, err := p.node.Neighbours(p.sandbox.ID)
	if err != nil {
		t.Fatal(err)
	}
	out := map[netip.Addr]string{}
	for _, ip := range ips {
		out[ip] = ""
		for _, n := range neighbours {
			if n.IP == ip && !n.Failed {
				out[ip] = n.MAC
			}
		}
	}
	return out
}
