// SPDX-License-Identifier: Apache-2.0

package links

import (
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
		"veth":             {link: &netlink.Veth{PeerName: "other"}, want: Link{Kind: "veth"}},
		"macvlan":          {link: &netlink.Macvlan{Mode: netlink.MACVLAN_MODE_BRIDGE}, want: Link{Kind: "macvlan"}},
		"macvlan private":  {link: &netlink.Macvlan{Mode: netlink.MACVLAN_MODE_PRIVATE}, want: Link{Kind: "macvlan"}},
		"macvlan passthru": {link: &netlink.Macvlan{Mode: netlink.MACVLAN_MODE_PASSTHRU}, want: Link{Kind: "macvlan", Passthru: true}},
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
