// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// network is a VLAN with its pool, and the network that pods name.
type network struct {
	name   string // of pool and NetworkAttachmentDefinition
	vlan   int
	bridge bool
	prefix string       // of its MACs
	asker  netip.Addr   // the prober's address there
	first4 netip.Addr   // of the range
	first6 netip.Addr   // with the same offset
	size   int          // of the range
	all    []netip.Addr // every address that can be leased
}

func newNetwork(name string, vlan, size int, bridge bool) *network {
	n := &network{
		name: name, vlan: vlan, bridge: bridge, size: size, prefix: fmt.Sprintf("02:%02x:00:", vlan),
		asker:  netip.AddrFrom4([4]byte{10, byte(vlan), 255, 250}), //nolint:gosec // G115: some 50
		first4: netip.AddrFrom4([4]byte{10, byte(vlan), 0, 10}),    //nolint:gosec // G115: some 50
		first6: netip.MustParseAddr(fmt.Sprintf("fd00:%d::a", vlan)),
	}
	four, six := n.first4, n.first6
	for range size {
		n.all = append(n.all, four, six)
		four, six = four.Next(), six.Next()
	}
	return n
}

// macOf is the MAC that goes with an address, "" if it is none of the network's.
func (n *network) macOf(ip netip.Addr) string {
	i := slices.Index(n.all, ip)
	if i < 0 {
		return ""
	}
	return n.prefix + lowOctets(n.all[i&^1])
}

func (n *network) pool() *v1alpha1.MacPool {
	last := n.all[len(n.all)-2]
	takeover := v1alpha1.TakeoverProbe
	if n.name == "strict" {
		takeover = v1alpha1.TakeoverStrict
	}
	return &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: n.name},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: new(int32(n.vlan)), //nolint:gosec // some 60
			MAC:  &v1alpha1.MACPolicy{Prefix: v1alpha1.MACPrefix(strings.TrimSuffix(n.prefix, ":"))},
			Subnets: []v1alpha1.Subnet{
				{
					CIDR: v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", n.vlan)),
					Ranges: []v1alpha1.PoolRange{{AddressRange: v1alpha1.AddressRange{
						Start: v1alpha1.IPAddress(n.first4.String()), End: v1alpha1.IPAddress(last.String()),
					}}},
				},
				{CIDR: v1alpha1.CIDR(fmt.Sprintf("fd00:%d::/64", n.vlan))},
			},
			Takeover: takeover,
			Cooldown: &metav1.Duration{Duration: cooldown},
			Retain:   &metav1.Duration{},
			History:  &metav1.Duration{Duration: 10 * time.Minute},
		},
	}
}

func (n *network) definition() *nadv1.NetworkAttachmentDefinition {
	main := fmt.Sprintf(`"type": "macvlan", "master": "eth0.%d", "mode": "bridge"`, n.vlan)
	if n.bridge {
		main = fmt.Sprintf(`"type": "bridge", "bridge": "br%d"`, n.vlan)
	}
	return &nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: load, Name: n.name},
		Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: fmt.Sprintf(
			`{"cniVersion": "1.1.0", "name": %q, "plugins": [{%s, "ipam": {"type": "macpool", "pool": %q}}, {"type": "macpool"}]}`,
			n.name, main, n.name)},
	}
}

func (w *world) addNetwork(n *network) error {
	pool := n.pool()
	for _, o := range []client.Object{pool, n.definition()} {
		if err := w.api.Create(w.ctx, o); err != nil {
			return err
		}
	}
	return w.await("pool "+n.name+" is ready", time.Minute, func() error {
		if err := w.api.Get(w.ctx, client.ObjectKeyFromObject(pool), pool); err != nil {
			return err
		}
		if !apimeta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.PoolReady) {
			return fmt.Errorf("conditions %v", pool.Status.Conditions)
		}
		return nil
	})
}
