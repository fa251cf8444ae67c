// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	cnitypes "github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/vishvananda/netlink"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/netnstest"
	"github.com/macpool/macpool/internal/problem"
)

const (
	macvlanMain = `"type":"macvlan","master":"eth0.50","mode":"bridge"`
	bridgeMain  = `"type":"bridge","bridge":"br50"`
	poolIPAM    = `"ipam":{"type":"macpool","pool":"iot"}`
	chainedMain = `{"type":"macpool"}`
	tuningMain  = `{"type":"tuning","capabilities":{"mac":true,"ips":true}}`
)

func listOf(version string, plugins ...string) string {
	return fmt.Sprintf(`{"cniVersion":%q,"name":"iot-vlan","plugins":[%s]}`, version, strings.Join(plugins, ","))
}

// podIPs are the addresses that the pod's link has beside the one that IPv6 makes by itself.
func podIPs(t *testing.T, p *pod) []netip.Prefix {
	t.Helper()
	var ips []netip.Prefix
	changeLink(t, p.ns, "net1", func(l netlink.Link) error {
		addrs, err := netlinksafe.AddrList(l, netlink.FAMILY_ALL)
		for _, a := range addrs {
			if !a.IP.IsLinkLocalUnicast() {
				ips = append(ips, prefixOf(a.IPNet))
			}
		}
		return err
	})
	return ips
}

func TestNetworks(t *testing.T) {
	for _, version := range versions {
		for main, fields := range map[string]string{"macvlan": macvlanMain, "bridge": bridgeMain} {
			t.Run(version+" "+main, func(t *testing.T) {
				lease := leaseOf(ip4(), agentapi.IP{Address: netip.MustParsePrefix("fd00:50::8/64")})
				lease.Routes = []agentapi.Route{routeOf("10.0.0.0/8", "192.168.50.1")}
				a := newAgent(t, lease)
				n, p := newNode(t, a), newPod(t, "c1")
				list := network(t, listOf(version, "{"+fields+","+poolIPAM+"}", chainedMain))

				result, err := n.add(t, list, p)
				if err != nil {
					t.Fatal(err)
				}
				if mac := macOf(t, p.ns, "net1"); mac != testMAC {
					t.Errorf("the link has MAC %s", mac)
				}
				for _, ip := range lease.IPs {
					if has := podIPs(t, p); !slices.Contains(has, ip.Address) {
						t.Errorf("the link has %v, not %s", has, ip.Address)
					}
				}
				var macs []string
				for _, i := range result.Interfaces {
					if i.Sandbox != "" {
						macs = append(macs, i.Mac)
					}
				}
				if !slices.Equal(macs, []string{testMAC}) || len(result.IPs) != 2 || len(result.Routes) != 1 {
					t.Errorf("got the result %+v", result)
				}
				checkAndRemove(t, n, a, list, p, version, 2)
			})
		}
	}
}

// checkAndRemove wants the network of this version to pass CHECK, by so many questions of the agent, and DEL, which may be repeated, to
// leave nothing.
func checkAndRemove(t *testing.T, n *node, a *agentDouble, list *libcni.NetworkConfigList, p *pod, version string, questions int) {
	t.Helper()
	if version != "0.3.1" { // CNI has CHECK since 0.4.0
		if err := n.check(t, list, p); err != nil {
			t.Errorf("CHECK: %v", err)
		}
		if got := a.asked(agentapi.Check); len(got) != questions {
			t.Errorf("asked %v", got)
		}
	}
	for range 2 {
		if err := n.del(t, list, p); err != nil {
			t.Errorf("DEL: %v", err)
		}
	}
	if linkOf(t, p.ns, "net1") != nil {
		t.Error("the link is still there")
	}
	if got := a.asked(agentapi.Del); len(got) != 2 || got[0].ContainerID != "c1" {
		t.Errorf("asked %v", got)
	}
}

// The founding case: only the ipam of its network is changed, and the pod asks for an address. With and without the
// chained entry, and at a version that has CHECK.
func TestFoundingCase(t *testing.T) {
	const main = `{` + macvlanMain + `,"ipam":{"type":"macpool","pool":"iot","routes":[{"dst":"192.168.50.0/24","gw":"192.168.50.1"}]}}`
	tests := map[string]struct {
		list  string
		check bool
	}{
		"as it was":        {list: listOf("0.3.1", main, tuningMain)},
		"chained":          {list: listOf("0.3.1", main, tuningMain, chainedMain)},
		"chained, checked": {list: listOf("1.0.0", main, tuningMain, chainedMain), check: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, leaseOf(ip4()))
			n, p := newNode(t, a), newPod(t, "c1")
			// So does Multus pass on the annotation's ips.
			p.runtime.Args = append(p.runtime.Args, [2]string{"IP", "192.168.50.8/24"})
			p.runtime.CapabilityArgs = map[string]any{"ips": []string{"192.168.50.8/24"}}
			list := network(t, tt.list)
			result, err := n.add(t, list, p)
			if err != nil {
				t.Fatal(err)
			}
			if got := a.asked(agentapi.Add); len(got) != 1 || !slices.Equal(got[0].Wish.IPs, []string{"192.168.50.8/24"}) {
				t.Errorf("asked %v", got)
			}
			if mac := macOf(t, p.ns, "net1"); mac != testMAC {
				t.Errorf("the link has MAC %s", mac)
			}
			if r := result.Routes; len(r) != 1 || r[0].Dst.String() != "192.168.50.0/24" || r[0].GW.String() != "192.168.50.1" {
				t.Errorf("got routes %v", r)
			}
			changeLink(t, p.ns, "net1", func(l netlink.Link) error {
				routes, err := netlinksafe.RouteList(l, netlink.FAMILY_V4)
				if !slices.ContainsFunc(routes, func(r netlink.Route) bool {
					return r.Dst != nil && r.Dst.String() == "192.168.50.0/24" && r.Gw.String() == "192.168.50.1"
				}) {
					t.Errorf("the link has the routes %v", routes)
				}
				return err
			})
			if strings.HasPrefix(name, "chained") && result.Interfaces[0].Mac != testMAC {
				t.Errorf("the result has MAC %s", result.Interfaces[0].Mac)
			}
			if tt.check {
				if err := n.check(t, list, p); err != nil {
					t.Errorf("CHECK: %v", err)
				}
			}
			if err := n.del(t, list, p); err != nil {
				t.Errorf("DEL: %v", err)
			}
		})
	}
}

// The MAC that the pod's annotation asks for is on the link before macpool runs, and tuning sets it once more.
func TestWishedMAC(t *testing.T) {
	a := newAgent(t, leaseOf(ip4()))
	n, p := newNode(t, a), newPod(t, "c1")
	p.runtime.Args = append(p.runtime.Args, [2]string{"MAC", testMAC})
	p.runtime.CapabilityArgs = map[string]any{"mac": testMAC}
	list := network(t, listOf("1.0.0", "{"+macvlanMain+","+poolIPAM+"}", tuningMain, chainedMain))
	if _, err := n.add(t, list, p); err != nil {
		t.Fatal(err)
	}
	if got := a.asked(agentapi.Add); len(got) != 1 || got[0].Wish.MAC != testMAC {
		t.Errorf("asked %v", got)
	}
	if err := n.check(t, list, p); err != nil {
		t.Errorf("CHECK: %v", err)
	}
}

func TestCheckNamesTheMissingEntry(t *testing.T) {
	n, p := newNode(t, newAgent(t, leaseOf(ip4()))), newPod(t, "c1")
	list := network(t, listOf("1.0.0", "{"+macvlanMain+","+poolIPAM+"}"))
	if _, err := n.add(t, list, p); err != nil {
		t.Fatal(err)
	}
	err := n.check(t, list, p)
	if err == nil || !strings.Contains(err.Error(), problem.ChainedEntryMissing.Code) {
		t.Errorf("got %v", err)
	}
}

func TestDelWhenThingsAreGone(t *testing.T) {
	tests := map[string]func(*testing.T, *pod){
		"netns gone":  func(t *testing.T, p *pod) { t.Helper(); removeNetNS(t, p) },
		"netns empty": func(t *testing.T, p *pod) { t.Helper(); removeNetNS(t, p); p.runtime.NetNS = "" },
		"no args":     func(_ *testing.T, p *pod) { p.runtime.Args = nil },
	}
	for name, lose := range tests {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, leaseOf(ip4()))
			n, p := newNode(t, a), newPod(t, "c1")
			list := network(t, listOf("1.0.0", "{"+macvlanMain+","+poolIPAM+"}", chainedMain))
			if _, err := n.add(t, list, p); err != nil {
				t.Fatal(err)
			}
			lose(t, p)
			for range 2 {
				if err := n.del(t, list, p); err != nil {
					t.Error(err)
				}
			}
			if got := a.asked(agentapi.Del); len(got) != 2 || got[0].ContainerID != "c1" {
				t.Errorf("asked %v", got)
			}
		})
	}
}

func removeNetNS(t *testing.T, p *pod) {
	t.Helper()
	_ = p.ns.Close()
	if err := testutils.UnmountNS(p.ns); err != nil {
		t.Fatal(err)
	}
}

// Nobody answers: the pod's end is not held up, and the agent finds the word when it is back.
func TestAgentAway(t *testing.T) {
	a := newAgent(t, leaseOf(ip4()))
	n, p := newNode(t, a), newPod(t, "c1")
	list := network(t, listOf("1.0.0", "{"+macvlanMain+","+poolIPAM+"}", chainedMain))
	if _, err := n.add(t, list, p); err != nil {
		t.Fatal(err)
	}
	a.stop()
	if err := n.del(t, list, p); err != nil {
		t.Fatal(err)
	}
	if linkOf(t, p.ns, "net1") != nil {
		t.Error("the link is still there")
	}
	if got := spooled(t, filepath.Join(a.state, agentapi.SpoolDir)); len(got) != 1 || got[0].ContainerID != "c1" || got[0].Command != agentapi.Del {
		t.Errorf("spooled %v", got)
	}
	if _, err := n.add(t, list, newPod(t, "c2")); err == nil || !strings.Contains(err.Error(), problem.AgentUnreachable.Code) {
		t.Errorf("ADD: got %v", err)
	}
}

func TestUnsupportedNetworks(t *testing.T) {
	for name, main := range map[string]string{
		"ptp":              `{"type":"ptp",` + poolIPAM + `}`,
		"macvlan passthru": `{"type":"macvlan","master":"eth0.50","mode":"passthru",` + poolIPAM + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, leaseOf(ip4()))
			n := newNode(t, a)
			_, err := n.add(t, network(t, listOf("1.0.0", main, chainedMain)), newPod(t, "c1"))
			if err == nil || !strings.Contains(err.Error(), problem.UnsupportedMain.Code) {
				t.Errorf("got %v", err)
			}
			if got := a.asked(agentapi.Add); len(got) != 0 {
				t.Errorf("asked %v", got)
			}
		})
	}
}

// The kernel refuses a second interface with the MAC; macvlan then gives the lease back by itself.
func TestSameMACTwice(t *testing.T) {
	a := newAgent(t, leaseOf(ip4()))
	n := newNode(t, a)
	list := network(t, listOf("1.0.0", "{"+macvlanMain+","+poolIPAM+"}", chainedMain))
	if _, err := n.add(t, list, newPod(t, "c1")); err != nil {
		t.Fatal(err)
	}
	if _, err := n.add(t, list, newPod(t, "c2")); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
	if got := a.asked(agentapi.Del); len(got) != 1 || got[0].ContainerID != "c2" {
		t.Errorf("asked %v", got)
	}
}

// libcni tells the chained entry, which the reference main plugins never do with their IPAM.
func TestGCAndStatusReachTheAgent(t *testing.T) {
	a := newAgent(t, leaseOf(ip4()))
	n, p := newNode(t, a), newPod(t, "c1")
	list := network(t, listOf("1.1.0", "{"+macvlanMain+","+poolIPAM+"}", chainedMain))
	if _, err := n.add(t, list, p); err != nil {
		t.Fatal(err)
	}
	netnstest.Do(t, n.ns, func() error { return n.cni.GetStatusNetworkList(t.Context(), list) })
	pools := []string{}
	for _, req := range a.asked(agentapi.Status) {
		pools = append(pools, req.Pool)
	}
	if !slices.Equal(pools, []string{"iot", ""}) {
		t.Errorf("STATUS asked for the pools %q", pools)
	}
	valid := &libcni.GCArgs{ValidAttachments: []cnitypes.GCAttachment{{ContainerID: "c1", IfName: "net1"}}}
	netnstest.Do(t, n.ns, func() error { return n.cni.GCNetworkList(t.Context(), list, valid) })
	got := a.asked(agentapi.GC)
	if len(got) != 1 || got[0].Network != "iot-vlan" || !slices.Equal(got[0].Valid, []agentapi.Attachment{{ContainerID: "c1", Interface: "net1"}}) {
		t.Errorf("GC asked %v", got)
	}
	a.refuses(problem.PoolExhausted.New("iot", 1, 1, 0, 0, 0))
	err := n.ns.Do(func(ns.NetNS) error { return n.cni.GetStatusNetworkList(t.Context(), list) })
	if err == nil || !strings.Contains(err.Error(), "MP301") {
		t.Errorf("STATUS of an exhausted pool: got %v", err)
	}
}
