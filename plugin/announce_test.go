// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/macpool/macpool/internal/netnstest"
)

// R-C16: whatever the main plugin is, the pod's kernel announces the link's addresses when it comes up. bridge asks for IPv4 only; macvlan asks for
// both, so that nothing is done for it.
func TestKernelAnnounces(t *testing.T) {
	for main, want := range map[string]string{"bridge": "1", "macvlan": "0"} {
		t.Run(main, func(t *testing.T) { kernelAnnounces(t, main, want) })
	}
}

func kernelAnnounces(t *testing.T, main, want string) {
	t.Helper()
	a := newAgent(t, leaseOf(ip4()))
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	p, _ := newPlugin(a)
	conf := strings.Replace(ipamConf("1.0.0", ""), `"type":"macvlan"`, `"type":"`+main+`"`, 1)
	if err := p.Add(t.Context(), cmdArgs(sandbox, conf)); err != nil {
		t.Fatal(err)
	}
	netnstest.Do(t, sandbox, func() error {
		for _, setting := range []string{"ipv4/conf/net1/arp_notify", "ipv6/conf/net1/ndisc_notify"} {
			value, err := os.ReadFile("/proc/sys/net/" + setting)
			if err != nil {
				return err
			}
			if got := strings.TrimSpace(string(value)); got != want {
				t.Errorf("%s is %s, want %s", setting, got, want)
			}
		}
		return nil
	})
}

// A link that is made again under the same name meanwhile is another link, and announces nothing that was not leased for it.
func TestAnnounceIsOfTheLinkThatWasLookedAt(t *testing.T) {
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	link, err := enterLink(cmdArgs(sandbox, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer link.close()
	changeLink(t, sandbox, "net1", netlink.LinkDel)
	newLink(t, sandbox, "net1")
	link.announce("bridge")
	netnstest.Do(t, sandbox, func() error {
		value, err := os.ReadFile("/proc/sys/net/ipv4/conf/net1/arp_notify")
		if got := strings.TrimSpace(string(value)); err == nil && got != "0" {
			t.Errorf("the new link announces: %s", got)
		}
		return err
	})
}
