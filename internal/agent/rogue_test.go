// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/netnstest"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/wire"
)

// cable is a node's link to a VLAN, and the one other host there.
type cable struct{ node, rogue ns.NetNS }

func newCable(t *testing.T) *cable {
	t.Helper()
	c := &cable{node: netnstest.New(t), rogue: netnstest.New(t)}
	netnstest.Do(t, c.node, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = vlanLink
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(c.rogue.Fd()))}); err != nil {
			return err
		}
		return setUp(vlanLink)
	})
	netnstest.Do(t, c.rogue, func() error { return setUp("eth0") })
	eventually(t, "carrier", func() error {
		var err error
		netnstest.Do(t, c.node, func() error {
			var l *wire.Listener
			if l, err = wire.NewListener(vlanLink); err == nil {
				l.Close()
			}
			return nil
		})
		return err
	})
	return c
}

func setUp(name string) error {
	link, err := netlinksafe.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// takes gives the rogue an address, with its own MAC, which is returned.
func (c *cable) takes(t *testing.T, ip netip.Addr) (mac string) {
	t.Helper()
	netnstest.Do(t, c.rogue, func() error {
		link, err := netlinksafe.LinkByName("eth0")
		if err != nil {
			return err
		}
		mac = link.Attrs().HardwareAddr.String()
		addr, err := netlink.ParseAddr(netip.PrefixFrom(ip, ip.BitLen()).String())
		if err != nil {
			return err
		}
		if ip.Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		return netlink.AddrAdd(link, addr)
	})
	return mac
}

// startNode starts an agent that asks and listens there.
func (c *cable) startNode(t *testing.T) *node {
	t.Helper()
	n := newNode(t)
	n.vlan = func(ctx context.Context, link string, q wire.Query) (by string, err error) {
		netnstest.Do(t, c.node, func() error {
			by, err = wire.Ask(ctx, link, q)
			return nil
		})
		return by, err
	}
	n.equip = func(a *Agent) {
		a.hear = func(link string) (ear Ear, err error) {
			netnstest.Do(t, c.node, func() error {
				ear, err = wire.NewListener(link)
				return nil
			})
			return ear, err
		}
	}
	n.start(t)
	n.awaitReady(t)
	return n
}

// R-L1, R-L2, R-L3, R-L4, F30, F31 on the wire: a host that has the address which a pod is to get is named, the address is set aside, and the pod comes
// up with another; when that host takes this one too, the node hears it by itself.
func TestRogueOnTheWire(t *testing.T) {
	for family, subnets := range map[string][]v1alpha1.Subnet{
		"IPv4": {{CIDR: "192.168.50.0/24"}}, "IPv6": {{CIDR: "fd00:50::/64"}},
	} {
		t.Run(family, func(t *testing.T) {
			f, c := newFixture(t, subnets...), newCable(t)
			n := c.startNode(t)
			pod := f.newPod(t, "web", n.name, "")
			before := f.prebind(t, n, pod)
			mac := c.takes(t, netip.MustParseAddr(before.Status.IPs[0]))
			resp := n.ask(t, f.onVLAN("c1", pod))
			if resp.Error != nil {
				t.Fatal(*resp.Error)
			}
			if lease := f.lease(t, before.Status.LeaseName); resp.Lease.Name == lease.Name || lease.Spec.Conflict == nil || lease.Spec.Conflict.MAC != mac {
				t.Errorf("attached with %s; the lease is %+v, want the mark of %s", resp.Lease.Name, lease.Spec, mac)
			}
			f.awaitEvent(t, pod, problem.AddressConflict)

			second := resp.Lease.IPs[0].Address.Addr()
			c.takes(t, second)
			eventually(t, "the stranger to be heard", func() error {
				netnstest.Do(t, c.rogue, func() error {
					_, err := wire.Announce("eth0", second, mac)
					return err
				})
				if n.agent.watcher.total.Load() == 0 {
					return errors.New("not yet")
				}
				return nil
			})
			f.awaitEvent(t, pod, problem.StrangerHeard)
			if lease := f.lease(t, resp.Lease.Name); lease.Spec.Conflict != nil || lease.Spec.ReleasedAt != nil {
				t.Errorf("the running pod's lease is %+v", lease.Spec)
			}
		})
	}
}
