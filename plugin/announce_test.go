// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/macpool/macpool/internal/netnstest"
)

// R-C16: whatever the main plugin is, the pod's kernel announces the link's addresses when it comes up. bridge asks for IPv4 only.
func TestKernelAnnounces(t *testing.T) {
	a := newAgent(t, leaseOf(ip4()))
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	p, _ := newPlugin(a)
	if err := p.Add(t.Context(), cmdArgs(sandbox, ipamConf("1.0.0", ""))); err != nil {
		t.Fatal(err)
	}
	netnstest.Do(t, sandbox, func() error {
		for _, setting := range []string{"ipv4/conf/net1/arp_notify", "ipv6/conf/net1/ndisc_notify"} {
			value, err := os.ReadFile("/proc/sys/net/" + setting)
			if err != nil {
				return err
			}
			if got := strings.TrimSpace(string(value)); got != "1" {
				t.Errorf("%s is %s", setting, got)
			}
		}
		return nil
	})
}

// A link that is made again under the same name meanwhile is another link, and announces nothing that was not leased for it.
func TestAnnounceIsOfTheLinkThatWasLookedAt(t *testing.T) {
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	link, err := openNewLink(cmdArgs(sandbox, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer link.close()
	if len(link.notices) != 2 {
		t.Fatalf("%d settings are open", len(link.notices))
	}
	changeLink(t, sandbox, "net1", netlink.LinkDel)
	newLink(t, sandbox, "net1")
	link.announce()
	netnstest.Do(t, sandbox, func() error {
		value, err := os.ReadFile("/proc/sys/net/ipv4/conf/net1/arp_notify")
		if got := strings.TrimSpace(string(value)); err == nil && got != "0" {
			t.Errorf("the new link announces: %s", got)
		}
		return err
	})
}
