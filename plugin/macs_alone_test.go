// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// ofAddresses is a delegate with the double of an IPAM plugin, and the log of that.
func ofAddresses(t *testing.T, delegate string) (conf, log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "ipam")
	return delegate + fmt.Sprintf(`,"ipam":{"type":"addresses","log":%q,"range":"any","routes":"of its own form"}`, log), log
}

// If the lease is a MAC alone, the interface has it before the IPAM plugin of the delegate is asked for addresses, also if the delegate takes
// no MAC; and that one gets its block as it was written, and each verb once (R-C14).
func TestMACAloneNetworks(t *testing.T) {
	for _, version := range []string{"0.4.0", "1.1.0"} {
		for _, main := range []string{macvlanMain, bridgeMain, "sriov", "shy"} {
			kind, delegate, more := strings.Trim(strings.Split(main, ",")[0], `"type:`), main, ""
			t.Run(version+" "+kind, func(t *testing.T) {
				if main == "sriov" || main == "shy" {
					delegate, _ = double(t, main, "")
					more = `,"deviceID":"0000:03:02.0"`
				}
				delegate, log := ofAddresses(t, delegate)
				a := newAgent(t, leaseOf())
				n, p := newNode(t, a), newPod(t, "c1")
				list := network(t, listOf(version, wrapped(delegate, more)))
				result, err := n.add(t, list, p)
				if err != nil {
					t.Fatal(err)
				}
				if mac := macOf(t, p.ns, "net1"); mac != testMAC || !isUp(t, p.ns) {
					t.Errorf("the link has MAC %s, up: %t", mac, isUp(t, p.ns))
				}
				if len(result.IPs) != 1 || result.IPs[0].Address.String() != "192.168.50.77/24" {
					t.Errorf("the result has %v", result.IPs)
				}
				for _, i := range result.Interfaces {
					if i.Sandbox != "" && i.Mac != testMAC {
						t.Errorf("the result has MAC %s", i.Mac)
					}
				}
				if got := a.asked(agentapi.Add); len(got) != 1 || !got[0].MACAlone || got[0].IPAM != "addresses" {
					t.Errorf("asked %+v", got)
				}
				if err := n.check(t, list, p); err != nil {
					t.Errorf("CHECK: %v", err)
				}
				if err := n.del(t, list, p); err != nil {
					t.Errorf("DEL: %v", err)
				}
				if linkOf(t, p.ns, "net1") != nil || len(a.asked(agentapi.Del)) != 1 {
					t.Errorf("the link is there, or the lease: asked %v", a.asked(agentapi.Del))
				}
				calls := delegateLog(t, log)
				if len(calls) == 0 || !strings.HasPrefix(verbsOf(calls), "ADD") || !strings.Contains(verbsOf(calls), "DEL") {
					t.Fatalf("its ipam was asked %s", verbsOf(calls))
				}
				for i, call := range calls {
					if got := fmt.Sprint(call.Conf["ipam"]); got != "map[log:"+log+" range:any routes:of its own form type:addresses]" {
						t.Errorf("%s: ipam is %s", call.Command, got)
					}
					if i == 0 && call.MAC != testMAC {
						t.Errorf("it was asked for the addresses of %q", call.MAC)
					}
				}
			})
		}
	}
}

// A delegate without ipam makes an interface without addresses, as it would by itself: a guest asks a DHCP server, say.
func TestMACAloneWithoutIPAM(t *testing.T) {
	for name, delegate := range map[string]string{"macvlan": macvlanMain, "bridge": bridgeMain, "an empty block": macvlanMain + `,"ipam":{}`} {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, leaseOf())
			n, p := newNode(t, a), newPod(t, "c1")
			list := network(t, listOf("1.1.0", wrapped(delegate)))
			result, err := n.add(t, list, p)
			if err != nil {
				t.Fatal(err)
			}
			if mac := macOf(t, p.ns, "net1"); mac != testMAC || !isUp(t, p.ns) || len(result.IPs) != 0 {
				t.Errorf("the link has MAC %s, up: %t, the result %v", mac, isUp(t, p.ns), result.IPs)
			}
			if err := n.check(t, list, p); err != nil {
				t.Errorf("CHECK: %v", err)
			}
			if err := n.del(t, list, p); err != nil {
				t.Errorf("DEL: %v", err)
			}
			if linkOf(t, p.ns, "net1") != nil {
				t.Error("the link is still there")
			}
		})
	}
}

// What cannot work is refused, and leaves neither lease nor interface.
func TestMACAloneRefusals(t *testing.T) {
	other, _ := ofAddresses(t, macvlanMain)
	for name, tt := range map[string]struct {
		delegate string
		lease    *agentapi.Lease
		want     string
		asked    int // how many ADDs the agent has heard of
	}{
		"its ipam is not on the node":   {macvlanMain + `,"ipam":{"type":"dhcp-of-nobody"}`, leaseOf(), problem.IPAMMissing.Code, 0},
		"its ipam is no plugin's name":  {macvlanMain + `,"ipam":{"type":"../dhcp"}`, leaseOf(), problem.BadDelegate.Code, 0},
		"an older agent gives it an IP": {other, leaseOf(ip4()), problem.BadDelegate.Code, 1},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, tt.lease)
			n, p := newNode(t, a), newPod(t, "c1")
			_, err := n.add(t, network(t, listOf("1.1.0", wrapped(tt.delegate))), p)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if got := a.asked(agentapi.Add); len(got) != tt.asked || len(a.asked(agentapi.Del)) < tt.asked {
				t.Errorf("asked %v and %v", got, a.asked(agentapi.Del))
			}
			if linkOf(t, p.ns, "net1") != nil {
				t.Error("there is a link")
			}
		})
	}
	// The delegate wants the lease's addresses, and says so: the agent refuses what has none.
	a := newAgent(t, leaseOf(ip4()))
	n, p := newNode(t, a), newPod(t, "c1")
	if _, err := n.add(t, network(t, listOf("1.1.0", wrapped(macvlanMain+`,"ipam":{"type":"macpool"}`))), p); err != nil {
		t.Fatal(err)
	}
	if got := a.asked(agentapi.Add); len(got) != 1 || got[0].MACAlone || got[0].IPAM != "" {
		t.Errorf("asked %+v", got)
	}
}
