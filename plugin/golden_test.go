// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/netnstest"
)

var versions = []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"}

// families are the leases of the golden results.
func families() map[string]*agentapi.Lease {
	v4 := leaseOf(ip4())
	v4.Routes = []agentapi.Route{routeOf("10.0.0.0/8", "192.168.50.1")}
	v4.DNS = agentapi.DNS{Nameservers: []string{"192.168.50.1"}, Search: []string{"iot.example"}}
	v6 := leaseOf(ip6())
	v6.Routes = []agentapi.Route{routeOf("::/0", "fd00:50::1")}
	dual := leaseOf(ip4(), agentapi.IP{Address: netip.MustParsePrefix("fd00:50::8/64")})
	return map[string]*agentapi.Lease{"v4": v4, "v6": v6, "dual": dual}
}

func TestIPAMResults(t *testing.T) {
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	for family, lease := range families() {
		for _, version := range versions {
			t.Run(version+" "+family, func(t *testing.T) {
				p, out := newPlugin(newAgent(t, lease))
				conf := ipamConf(version, `,"routes":[{"dst":"192.168.50.0/24","gw":"192.168.50.1"},{"dst":"172.16.0.0/12","mtu":1400,"priority":10}]`)
				if err := p.Add(t.Context(), cmdArgs(sandbox, conf)); err != nil {
					t.Fatal(err)
				}
				golden(t, fmt.Sprintf("ipam-%s-%s.json", version, family), out.Bytes())
			})
		}
	}
}

func TestChainedResults(t *testing.T) {
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	setLinkMAC(t, sandbox, testMAC)
	ips := map[string]string{
		"v4":   `{"version":"4","address":"192.168.50.8/24","gateway":"192.168.50.1","interface":2}`,
		"v6":   `{"version":"6","address":"fd00:50::8/64","interface":2}`,
		"dual": `{"version":"4","address":"192.168.50.8/24","interface":2},{"version":"6","address":"fd00:50::8/64","interface":2}`,
	}
	for family, lease := range families() {
		for _, version := range versions {
			t.Run(version+" "+family, func(t *testing.T) {
				p, out := newPlugin(newAgent(t, lease))
				// What bridge reports: the bridge and its end of the veth pair, without sandbox, are the node's. One of them
				// has the name of the pod's interface.
				conf := fmt.Sprintf(`{"cniVersion":%[1]q,"name":"iot-vlan","type":"macpool","prevResult":{"cniVersion":%[1]q,
					"interfaces":[{"name":"net1","mac":"4a:00:00:00:00:01"},{"name":"veth1","mac":"4a:00:00:00:00:02"},
						{"name":"net1","mac":"4a:00:00:00:00:03","sandbox":"/run/netns/pod"},{"name":"net2","mac":"4a:00:00:00:00:04","sandbox":"/run/netns/pod"}],
					"ips":[%[2]s],"routes":[{"dst":"192.168.50.0/24","gw":"192.168.50.1"}],"dns":{"nameservers":["192.168.50.1"]}}}`, version, ips[family])
				if err := p.Add(t.Context(), cmdArgs(sandbox, conf)); err != nil {
					t.Fatal(err)
				}
				golden(t, fmt.Sprintf("chained-%s-%s.json", version, family), out.Bytes())
			})
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name), append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := fs.ReadFile(os.DirFS("testdata"), name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Error(diff)
	}
}
