// SPDX-License-Identifier: Apache-2.0

package links

import (
	"errors"
	"strings"
	"testing"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"

	"github.com/macpool/macpool/internal/netnstest"
)

// What kind of link a pod has is read as another library reads it: from the kernel, of each mode of macvlan.
func TestKinds(t *testing.T) {
	host := newHost(t)
	for name, tc := range map[string]struct {
		link netlink.Link
		want Link
	}{
		"veth":             {link: &netlink.Veth{PeerName: "other"}, want: Link{Ethernet: true, Kind: "veth"}},
		"macvlan":          {link: &netlink.Macvlan{Mode: netlink.MACVLAN_MODE_BRIDGE}, want: Link{Ethernet: true, Kind: "macvlan"}},
		"macvlan private":  {link: &netlink.Macvlan{Mode: netlink.MACVLAN_MODE_PRIVATE}, want: Link{Ethernet: true, Kind: "macvlan"}},
		"macvlan passthru": {link: &netlink.Macvlan{Mode: netlink.MACVLAN_MODE_PASSTHRU}, want: Link{Ethernet: true, Kind: "macvlan", Passthru: true}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := netnstest.New(t)
			netnstest.Do(t, host, func() error {
				parent, err := netlinksafe.LinkByName("eth0.50")
				if err != nil {
					return err
				}
				attrs := tc.link.Attrs()
				*attrs = netlink.NewLinkAttrs()
				attrs.Name, attrs.Namespace = "net1", netlink.NsFd(int(pod.Fd()))
				if tc.want.Kind == "macvlan" {
					attrs.ParentIndex = parent.Attrs().Index
				}
				if err := netlink.LinkAdd(tc.link); err != nil {
					return err
				}
				n, err := Open(pod.Path())
				if err != nil {
					return err
				}
				defer n.Close()
				got, err := n.Link("net1")
				if err != nil {
					return err
				}
				if diff := cmp.Diff(&tc.want, got, cmpopts.IgnoreFields(Link{}, "Index", "MAC")); diff != "" {
					t.Error(diff)
				}
				return n.Delete(got)
			})
		})
	}
}

// Links may have longer names beside their own, and networks may name them so.
func TestAlternativeNames(t *testing.T) {
	host := newHost(t)
	const long = "the-uplink-of-the-left-rack"
	netnstest.Do(t, host, func() error {
		link, err := netlinksafe.LinkByName("eth0.50")
		if err != nil {
			return err
		}
		if err := netlink.LinkAddAltName(link, long); err != nil {
			return err
		}
		here, err := Here()
		if err != nil {
			return err
		}
		defer here.Close()
		found, err := here.Link(long)
		if err != nil || int(found.Index) != link.Attrs().Index {
			t.Errorf("by its alternative name: %+v, %v", found, err)
		}
		for _, name := range []string{"eth0.60", "another-name-that-nothing-has", strings.Repeat("x", 200)} {
			if _, err := here.Link(name); !errors.Is(err, ErrNoLink) {
				t.Errorf("%s: %v", name, err)
			}
		}
		return nil
	})
}
