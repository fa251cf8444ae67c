// SPDX-License-Identifier: Apache-2.0

package links

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/macpool/macpool/internal/netnstest"
)

// R-C16: an interface is announced when it is up, and an IPv6 address of it when its kernel has checked it. Both are seen from
// outside of its network namespace.
func TestLook(t *testing.T) {
	host, pod := newHost(t), netnstest.New(t)
	ip := netip.MustParseAddr("fd00:50::8")
	look := func() (s State, checked bool) {
		netnstest.Do(t, host, func() (err error) {
			if s, err = Look(pod.Path(), "net1"); err != nil {
				return err
			}
			checked, err = HasChecked(pod.Path(), "net1", ip)
			return err
		})
		return s, checked
	}
	if s, checked := look(); s != (State{}) || checked {
		t.Errorf("what is not there is %+v, %t", s, checked)
	}
	addLink(t, host, pod, "veth", leasedMAC)
	if s, checked := look(); s != (State{MAC: leasedMAC}) || checked {
		t.Errorf("down it is %+v, %t", s, checked)
	}
	netnstest.Do(t, pod, func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/net1/disable_ipv6", []byte("0"), 0o600) })
	netnstest.Do(t, pod, func() error {
		link, err := netlinksafe.LinkByName("net1")
		if err != nil {
			return err
		}
		prefix := netip.PrefixFrom(ip, 64)
		addr, err := netlink.ParseAddr(prefix.String())
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return err
		}
		return netlink.LinkSetUp(link)
	})
	if s, checked := look(); !s.Up || checked { // its other end is down: it waits for carrier, and checks nothing
		t.Errorf("up without carrier it is %+v, checked %t", s, checked)
	}
	netnstest.Do(t, host, func() error {
		link, err := netlinksafe.LinkByName("veth1")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(link)
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if s, checked := look(); s.Up && checked {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the address was not checked within a minute")
		}
	}
}

// R-O3: what an interface is like is seen from outside of its network namespace, with all of its addresses.
func TestInspect(t *testing.T) {
	host, pod := newHost(t), netnstest.New(t)
	inspect := func() (d Detail) {
		netnstest.Do(t, host, func() (err error) {
			d, err = Inspect(pod.Path(), "net1")
			return err
		})
		return d
	}
	if diff := cmp.Diff(Detail{}, inspect()); diff != "" {
		t.Errorf("what is not there (-want +got)\n%s", diff)
	}
	addLink(t, host, pod, "veth", leasedMAC)
	want := Detail{State: State{MAC: leasedMAC}}
	netnstest.Do(t, pod, func() error {
		link, err := netlinksafe.LinkByName("net1")
		if err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/net1/disable_ipv6", []byte("0"), 0o600); err != nil {
			return err
		}
		for _, text := range []string{"192.168.50.8/24", "192.168.50.9/32", "fd00:50::8/64", "fe80::8/64"} {
			addr, err := netlink.ParseAddr(text)
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(link, addr); err != nil {
				return err
			}
			if ip := netip.MustParsePrefix(text).Addr(); !ip.IsLinkLocalUnicast() {
				want.IPs = append(want.IPs, ip)
			}
		}
		return nil
	})
	got := inspect()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("Inspect (-want +got)\n%s", diff)
	}
}
