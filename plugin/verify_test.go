// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/plugins/pkg/ns"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/netnstest"
	"github.com/macpool/macpool/internal/problem"
)

// prevResult is what libcni keeps of a network with one interface.
func prevResult(mac string, ips ...string) string {
	var list []string
	for _, ip := range ips {
		list = append(list, fmt.Sprintf(`{"address":%q,"interface":0}`, ip))
	}
	return fmt.Sprintf(`{"cniVersion":"1.0.0","interfaces":[{"name":"net1","mac":%q,"sandbox":"/run/netns/pod"}],"ips":[%s]}`, mac, strings.Join(list, ","))
}

func chainedConf(prev string) string {
	return fmt.Sprintf(`{"cniVersion":"1.0.0","name":"iot-vlan","type":"macpool","prevResult":%s}`, prev)
}

func ipamCheckConf(prev string) string {
	return strings.TrimSuffix(ipamConf("1.0.0", ""), "}") + `,"prevResult":` + prev + `}`
}

// attached is a namespace with a link as an ADD leaves it.
func attached(t *testing.T) ns.NetNS {
	t.Helper()
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	setLinkMAC(t, sandbox, testMAC)
	setLinkUp(t, sandbox, "net1")
	addLinkIP(t, sandbox, "net1", "192.168.50.8/24")
	addLinkIP(t, sandbox, "net1", "fd00:50::8/64")
	return sandbox
}

func TestChainedAdd(t *testing.T) {
	tests := map[string]struct {
		conf    string
		answer  *problem.Error
		prepare func(*testing.T, ns.NetNS, *skel.CmdArgs)
		want    *problem.Kind
		asked   int
	}{
		"right":                {conf: chainedConf(prevResult("4a:00:00:00:00:01", "192.168.50.8/24")), asked: 1},
		"without a pod's name": {conf: chainedConf(prevResult("4a:00:00:00:00:01")), prepare: func(_ *testing.T, _ ns.NetNS, args *skel.CmdArgs) { args.Args = "" }, asked: 1},
		"no prevResult":        {conf: `{"cniVersion":"1.0.0","name":"iot-vlan","type":"macpool"}`, want: problem.NoPrevResult},
		"no such interface":    {conf: chainedConf(`{"cniVersion":"1.0.0","interfaces":[{"name":"net2","sandbox":"/x"}]}`), want: problem.NoPrevResult},
		"only the node's":      {conf: chainedConf(`{"cniVersion":"1.0.0","interfaces":[{"name":"net1","mac":"4a:00:00:00:00:01"},null]}`), want: problem.NoPrevResult},
		"no lease":             {conf: chainedConf(prevResult("")), answer: problem.NotAttached.New("c1", "net1"), want: problem.NotAttached, asked: 1},
		"another MAC": {
			conf: chainedConf(prevResult(testMAC)), want: problem.LinkDiffers, asked: 1,
			prepare: func(t *testing.T, sandbox ns.NetNS, _ *skel.CmdArgs) {
				t.Helper()
				setLinkMAC(t, sandbox, "4a:00:00:00:00:01")
			},
		},
		"no link": {
			conf: chainedConf(prevResult(testMAC)), want: problem.LinkMissing, asked: 1,
			prepare: func(_ *testing.T, _ ns.NetNS, args *skel.CmdArgs) { args.Netns = "/run/netns/none" },
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sandbox := attached(t)
			a := newAgent(t, leaseOf(ip4()))
			if tt.answer != nil {
				a.refuses(tt.answer)
			}
			p, out := newPlugin(a)
			args := cmdArgs(sandbox, tt.conf)
			if tt.prepare != nil {
				tt.prepare(t, sandbox, args)
			}
			err := p.Add(t.Context(), args)
			if tt.want != nil {
				if saying(errorOrNone(err)).Code != tt.want.Code || out.Len() != 0 {
					t.Errorf("got %v, want %s; printed %s", err, tt.want.Reason, out)
				}
			} else if err != nil || !strings.Contains(out.String(), `"mac": "`+testMAC+`"`) {
				t.Errorf("got %v, printed %s", err, out)
			}
			got := a.asked(agentapi.Lookup)
			if len(got) != tt.asked || (len(got) == 1 && (got[0].ContainerID != "c1" || got[0].Interface != "net1")) {
				t.Errorf("asked %v", got)
			}
			if got := a.asked(agentapi.Add); len(got) != 0 {
				t.Errorf("the chained entry leased: %v", got)
			}
		})
	}
}

func errorOrNone(err error) error {
	if err == nil {
		return &answer{Code: "none"}
	}
	return err
}

func TestCheck(t *testing.T) {
	dual := leaseOf(ip4(), ip6())
	good := prevResult(testMAC, "192.168.50.8/24", "fd00:50::8/64")
	stale := prevResult("4a:00:00:00:00:01", "192.168.50.8/24", "fd00:50::8/64")
	tests := map[string]struct {
		ipam, chained *problem.Kind // nil: passes
		prev          string
		answer        *problem.Error
		lease         *agentapi.Lease
		prepare       func(*testing.T, ns.NetNS)
	}{
		"right":                 {},
		"upper case":            {prev: prevResult(strings.ToUpper(testMAC), "192.168.50.8/24", "fd00:50::8/64")},
		"more addresses":        {lease: leaseOf(ip4())},
		"no lease":              {answer: problem.NotAttached.New("c1", "net1"), ipam: problem.NotAttached, chained: problem.NotAttached},
		"the result's MAC":      {prev: stale, ipam: problem.ChainedEntryMissing, chained: problem.LinkDiffers},
		"the result's IPs":      {prev: prevResult(testMAC, "192.168.50.8/24"), ipam: problem.LinkDiffers, chained: problem.LinkDiffers},
		"the result's length":   {prev: prevResult(testMAC, "192.168.50.8/16", "fd00:50::8/64"), ipam: problem.LinkDiffers, chained: problem.LinkDiffers},
		"the result's link":     {prev: `{"cniVersion":"1.0.0"}`, ipam: problem.NoPrevResult, chained: problem.NoPrevResult},
		"the answer has no MAC": {lease: &agentapi.Lease{}, ipam: problem.Internal, chained: problem.Internal},
		"the link's MAC": {ipam: problem.LinkDiffers, chained: problem.LinkDiffers, prepare: func(t *testing.T, sandbox ns.NetNS) {
			t.Helper()
			setLinkMAC(t, sandbox, "4a:00:00:00:00:01")
		}},
		"the link's addresses": {ipam: problem.LinkDiffers, chained: problem.LinkDiffers, lease: leaseOf(ip4(), agentapi.IP{Address: netip.MustParsePrefix("192.168.50.9/24")})},
	}
	for name, tt := range tests {
		if tt.prev == "" {
			tt.prev = good
		}
		if tt.lease == nil {
			tt.lease = dual
		}
		confs := map[string]struct {
			conf string
			want *problem.Kind
		}{
			"ipam":    {ipamCheckConf(tt.prev), tt.ipam},
			"chained": {chainedConf(tt.prev), tt.chained},
		}
		for as, c := range confs {
			t.Run(as+" "+name, func(t *testing.T) {
				sandbox := attached(t)
				a := newAgent(t, tt.lease)
				if tt.answer != nil {
					a.refuses(tt.answer)
				}
				if tt.prepare != nil {
					tt.prepare(t, sandbox)
				}
				p, out := newPlugin(a)
				before := linkOf(t, sandbox, "net1")
				err := p.Check(t.Context(), cmdArgs(sandbox, c.conf))
				if c.want == nil && err != nil || c.want != nil && saying(errorOrNone(err)).Code != c.want.Code {
					t.Errorf("got %v", err)
				}
				after := linkOf(t, sandbox, "net1")
				if out.Len() != 0 || before.HardwareAddr.String() != after.HardwareAddr.String() || before.Flags != after.Flags {
					t.Errorf("CHECK printed %q and made %v of %v", out, after, before)
				}
			})
		}
	}
}

// A runtime that keeps no results cannot be told that one is wrong.
func TestIPAMCheckWithoutPrevResult(t *testing.T) {
	p, _ := newPlugin(newAgent(t, leaseOf(ip4())))
	if err := p.Check(t.Context(), cmdArgs(attached(t), ipamConf("1.0.0", ""))); err != nil {
		t.Error(err)
	}
}
