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
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/ns"

	"github.com/macpool/macpool/internal/agentapi"
)

// wrapped is an entry of the wrapper form.
func wrapped(delegate string, more ...string) string {
	return fmt.Sprintf(`{"type":"macpool","pool":"iot"%s,"delegate":{%s}}`, strings.Join(more, ""), delegate)
}

// double is the configuration of a test's own plugin, and its log.
func double(t *testing.T, kind, more string) (conf, log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "calls")
	return fmt.Sprintf(`"type":%q,"log":%q%s`, kind, log, more), log
}

// isRight looks at link and result of an ADD.
func isRight(t *testing.T, p *pod, result *types100.Result, lease *agentapi.Lease) {
	t.Helper()
	if mac := macOf(t, p.ns, "net1"); mac != testMAC || !isUp(t, p.ns) {
		t.Errorf("the link has MAC %s, up: %t", mac, isUp(t, p.ns))
	}
	for _, ip := range lease.IPs {
		if has := podIPs(t, p); !slices.Contains(has, ip.Address) {
			t.Errorf("the link has %v, not %s", has, ip.Address)
		}
	}
	var pods []*types100.Interface
	for _, i := range result.Interfaces {
		if i.Sandbox != "" {
			pods = append(pods, i)
		}
	}
	if len(pods) != 1 || pods[0].Mac != testMAC || pods[0].Name != "net1" || pods[0].Sandbox != p.ns.Path() {
		t.Errorf("the result has the pod's interfaces %v", pods)
	}
	var ips []netip.Prefix
	for _, ip := range result.IPs {
		ips = append(ips, prefixOf(&ip.Address))
		if ip.Interface == nil || result.Interfaces[*ip.Interface].Sandbox == "" {
			t.Errorf("%v is no address of the pod's interface", ip)
		}
	}
	if !slices.Equal(ips, leasedIPs(lease)) || len(result.Routes) != len(lease.Routes) || !slices.Equal(result.DNS.Nameservers, lease.DNS.Nameservers) {
		t.Errorf("got the result %+v", result)
	}
}

// The wrapper form does what IPAM and chained entry together do, with plugins that those cannot serve as well, at each version,
// with chained plugins after it.
func TestWrapperNetworks(t *testing.T) {
	for _, version := range versions {
		for _, main := range []string{macvlanMain, bridgeMain, "sriov", "ovs"} {
			kind, delegate, log, more := strings.Trim(strings.Split(main, ",")[0], `"type:`), main, "", ""
			t.Run(version+" "+kind, func(t *testing.T) {
				if main == "sriov" || main == "ovs" {
					delegate, log = double(t, main, "")
					more = `,"deviceID":"0000:03:02.0"` // as Multus adds it, to the entry
				}
				lease := leaseOf(ip4(), agentapi.IP{Address: netip.MustParsePrefix("fd00:50::8/64")})
				lease.Routes = []agentapi.Route{routeOf("10.0.0.0/8", "192.168.50.1")}
				lease.DNS.Nameservers = []string{"192.168.50.1"}
				a := newAgent(t, lease)
				n, p := newNode(t, a), newPod(t, "c1")
				list := network(t, listOf(version, wrapped(delegate, more), `{"type":"tuning"}`))

				result, err := n.add(t, list, p)
				if err != nil {
					t.Fatal(err)
				}
				isRight(t, p, result, lease)
				got := a.asked(agentapi.Add)
				if len(got) != 1 || got[0].Pool != "iot" || got[0].Pod.Name != "db-0" || main == macvlanMain && got[0].Link != "eth0.50" {
					t.Errorf("asked %v", got)
				}
				checkAndRemove(t, n, a, list, p, version, 1)
				if log == "" {
					return
				}
				want := "ADD CHECK DEL, DEL"
				if version == "0.3.1" {
					want = "ADD DEL, DEL"
				}
				if got := verbsOf(delegateLog(t, log)); got != strings.ReplaceAll(want, ",", "") {
					t.Errorf("the delegate was asked %s, want %s", got, want)
				}
			})
		}
	}
}

// A network may be a plugin alone, and its routes those of the delegate's ipam block.
func TestWrapperAlone(t *testing.T) {
	lease := leaseOf(ip4())
	a := newAgent(t, lease)
	n, p := newNode(t, a), newPod(t, "c1")
	delegate := macvlanMain + `,"ipam":{"routes":[{"dst":"192.168.50.0/24","gw":"192.168.50.1"}],"dns":{"domain":"iot.example"}}`
	alone, err := libcni.ConfFromBytes([]byte(`{"cniVersion":"1.0.0","name":"iot-vlan","type":"macpool","pool":"iot","delegate":{` + delegate + `}}`)) //nolint:staticcheck // as Multus reads it
	if err != nil {
		t.Fatal(err)
	}
	list, err := libcni.ConfListFromConf(alone) //nolint:staticcheck // as above
	if err != nil {
		t.Fatal(err)
	}
	result, err := n.add(t, list, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Routes) != 1 || result.Routes[0].Dst.String() != "192.168.50.0/24" || result.DNS.Domain != "iot.example" {
		t.Errorf("got %+v", result)
	}
	if err := n.check(t, list, p); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	if err := n.del(t, list, p); err != nil {
		t.Errorf("DEL: %v", err)
	}
}

// A network may change its form while its pods run: what one has attached the other checks and removes.
func TestFormsChange(t *testing.T) {
	for name, main := range map[string]string{"macvlan": macvlanMain, "bridge": bridgeMain} {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, leaseOf(ip4()))
			n := newNode(t, a)
			forms := []*libcni.NetworkConfigList{
				network(t, listOf("1.0.0", "{"+main+","+poolIPAM+"}", chainedMain)),
				network(t, listOf("1.0.0", wrapped(main))),
			}
			for i, before := range forms {
				p, after := newPod(t, fmt.Sprintf("c%d", i)), forms[1-i]
				if _, err := n.add(t, before, p); err != nil {
					t.Fatal(err)
				}
				if err := n.check(t, after, p); err != nil {
					t.Errorf("CHECK: %v", err)
				}
				if err := n.del(t, after, p); err != nil {
					t.Errorf("DEL: %v", err)
				}
				if linkOf(t, p.ns, "net1") != nil {
					t.Error("the link is still there")
				}
				if got := a.asked(agentapi.Del); len(got) != i+1 {
					t.Errorf("asked %v", got)
				}
			}
		})
	}
}

// The delegate finds the leased MAC wherever main plugins look for one, and nothing of what the pod has asked for.
func TestDelegateInput(t *testing.T) {
	a := newAgent(t, leaseOf(ip4()))
	n, p := newNode(t, a), newPod(t, "c1")
	delegate, log := double(t, "ovs", `,"args":{"cni":{"vlan":50}}`)
	list := network(t, listOf("1.1.0", wrapped(delegate,
		`,"capabilities":{"ips":true,"mac":true,"portMappings":true},"args":{"cni":{"mac":"02:32:00:a8:32:09","claim":"x","label":"y"}}`)))
	p.runtime.Args = append(p.runtime.Args, [2]string{"MAC", "02:32:00:a8:32:07"}, [2]string{"IP", "192.168.50.7/24"})
	p.runtime.CapabilityArgs = map[string]any{"ips": []string{"192.168.50.8/24"}, "mac": testMAC, "portMappings": []any{}}
	if _, err := n.add(t, list, p); err != nil {
		t.Fatal(err)
	}
	if got := a.asked(agentapi.Add); len(got) != 1 || got[0].Wish.MAC != testMAC || !slices.Equal(got[0].Wish.IPs, []string{"192.168.50.8/24"}) || got[0].Wish.Claim != "x" {
		t.Errorf("asked %v", got)
	}
	calls := delegateLog(t, log)
	if len(calls) != 1 {
		t.Fatalf("got %v", calls)
	}
	if args := calls[0].Args; !strings.HasSuffix(args, ";MAC="+testMAC) || strings.Count(args, "MAC=") != 1 || strings.Contains(args, "IP=") || !strings.Contains(args, "K8S_POD_NAME=db-0") {
		t.Errorf("CNI_ARGS are %s", args)
	}
	conf := calls[0].Conf
	if got := fmt.Sprint(conf["runtimeConfig"]); got != "map[mac:"+testMAC+" portMappings:[]]" {
		t.Errorf("runtimeConfig is %s", got)
	}
	if got := fmt.Sprint(conf["args"]); got != "map[cni:map[label:y]]" {
		t.Errorf("args is %s", got)
	}
	if got := fmt.Sprint(conf["ipam"]); got != "map[pool:iot type:macpool wrapped:true]" {
		t.Errorf("ipam is %s", got)
	}
	if conf["name"] != "iot-vlan" || conf["cniVersion"] != "1.1.0" || conf["delegate"] != nil || conf["pool"] != nil {
		t.Errorf("got %v", conf)
	}
}

// STATUS and GC reach agent and delegate once each; what the delegate says of its state is what the network says.
func TestWrapperStatusAndGC(t *testing.T) {
	a := newAgent(t, leaseOf(ip4()))
	n := newNode(t, a)
	delegate, log := double(t, "sriov", "")
	list := network(t, listOf("1.1.0", wrapped(delegate)))
	if err := n.ns.Do(func(ns.NetNS) error { return n.cni.GetStatusNetworkList(t.Context(), list) }); err != nil {
		t.Error(err)
	}
	valid := &libcni.GCArgs{ValidAttachments: []cnitypes.GCAttachment{{ContainerID: "c1", IfName: "net1"}}}
	if err := n.ns.Do(func(ns.NetNS) error { return n.cni.GCNetworkList(t.Context(), list, valid) }); err != nil {
		t.Error(err)
	}
	if got := a.asked(agentapi.Status); len(got) != 1 || got[0].Pool != "iot" {
		t.Errorf("STATUS asked %v", got)
	}
	if got := a.asked(agentapi.GC); len(got) != 1 || !slices.Equal(got[0].Valid, []agentapi.Attachment{{ContainerID: "c1", Interface: "net1"}}) {
		t.Errorf("GC asked %v", got)
	}
	calls := delegateLog(t, log)
	if got := verbsOf(calls); got != "STATUS GC" {
		t.Fatalf("the delegate was asked %s", got)
	}
	if got := fmt.Sprint(calls[1].Conf["cni.dev/valid-attachments"]); got != "[map[containerID:c1 ifname:net1]]" {
		t.Errorf("the delegate's valid attachments are %s", got)
	}
	failing, _ := double(t, "sriov", `,"fail":{"STATUS":51}`)
	list = network(t, listOf("1.1.0", wrapped(failing)))
	err := n.ns.Do(func(ns.NetNS) error { return n.cni.GetStatusNetworkList(t.Context(), list) })
	if err == nil || !strings.Contains(err.Error(), "MP422") || !strings.Contains(err.Error(), "the device is busy") {
		t.Errorf("STATUS: got %v", err)
	}
	for _, main := range []string{macvlanMain, bridgeMain} { // which have the verbs, or not
		list := network(t, listOf("1.1.0", wrapped(main)))
		if err := n.ns.Do(func(ns.NetNS) error { return n.cni.GetStatusNetworkList(t.Context(), list) }); err != nil {
			t.Errorf("STATUS: %v", err)
		}
		if err := n.ns.Do(func(ns.NetNS) error { return n.cni.GCNetworkList(t.Context(), list, valid) }); err != nil {
			t.Errorf("GC: %v", err)
		}
	}
}
