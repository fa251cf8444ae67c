// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/links"
	"github.com/macpool/macpool/internal/netnstest"
	"github.com/macpool/macpool/internal/problem"
)

func TestAddSetsTheMACWhileTheLinkIsDown(t *testing.T) {
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	a := newAgent(t, leaseOf(ip4()))
	p, out := newPlugin(a)
	args := cmdArgs(sandbox, ipamConf("1.0.0", ""))
	args.Args += ";IP=192.168.50.8/24"
	for range 2 { // a repeated ADD of one attempt is answered alike (R-C2)
		before := out.String()
		out.Reset()
		if err := p.Add(t.Context(), args); err != nil {
			t.Fatal(err)
		}
		if before != "" && before != out.String() {
			t.Errorf("the second result is %s, the first was %s", out, before)
		}
	}
	if mac := macOf(t, sandbox, "net1"); mac != testMAC {
		t.Errorf("got MAC %s", mac)
	}
	if isUp(t, sandbox) {
		t.Error("the link is up")
	}
	want := agentapi.Request{
		Command: agentapi.Add, ContainerID: "c1", NetNS: sandbox.Path(), Interface: "net1", Network: "iot-vlan", Pool: "iot", Link: "eth0.50",
		Pod: agentapi.Pod{Namespace: "home", Name: "db-0", UID: "u-1"}, Wish: agentapi.Wish{IPs: []string{"192.168.50.8/24"}},
	}
	if diff := cmp.Diff([]agentapi.Request{want, want}, a.asked(agentapi.Add)); diff != "" {
		t.Error(diff)
	}
}

// The agent is told on which link of the node it can ask the VLAN for an address (R-G5).
func TestAddNamesTheLink(t *testing.T) {
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	for main, want := range map[string]string{
		`"type":"macvlan","master":"eth0.50"`:            "eth0.50",
		`"type":"bridge","bridge":"br50"`:                "br50",
		`"type":"bridge","bridge":"br0","vlan":50`:       "",
		`"type":"vlan","master":"eth0","vlanId":50`:      "",
		`"type":"host-device","device":"eth1"`:           "",
		`"type":"theirs","master":{"of":"another kind"}`: "",
	} {
		a := newAgent(t, leaseOf(ip4()))
		p, _ := newPlugin(a)
		conf := `{"cniVersion":"1.0.0","name":"iot-vlan",` + main + `,"ipam":{"type":"macpool","pool":"iot"}}`
		if err := p.Add(t.Context(), cmdArgs(sandbox, conf)); err != nil {
			t.Fatalf("%s: %v", main, err)
		}
		if got := a.asked(agentapi.Add); len(got) != 1 || got[0].Link != want {
			t.Errorf("%s: the agent was asked %+v, want link %q", main, got, want)
		}
	}
}

// What can never work is refused before there is a lease.
func TestAddRefusesWithoutALease(t *testing.T) {
	tests := map[string]struct {
		conf    string
		prepare func(*testing.T, *skel.CmdArgs)
		want    *problem.Kind
	}{
		"no pool":       {conf: `{"cniVersion":"1.0.0","name":"iot-vlan","type":"macvlan","ipam":{"type":"macpool"}}`, want: problem.NoPoolNamed},
		"ptp":           {conf: strings.Replace(ipamConf("1.0.0", ""), "macvlan", "ptp", 1), want: problem.UnsupportedMain},
		"no pod":        {prepare: func(_ *testing.T, args *skel.CmdArgs) { args.Args = "IgnoreUnknown=1" }, want: problem.NotAPod},
		"no pod UID":    {prepare: func(_ *testing.T, args *skel.CmdArgs) { args.Args = "K8S_POD_NAMESPACE=a;K8S_POD_NAME=b" }, want: problem.NotAPod},
		"link missing":  {prepare: func(_ *testing.T, args *skel.CmdArgs) { args.IfName = "net7" }, want: problem.LinkMissing},
		"netns missing": {prepare: func(_ *testing.T, args *skel.CmdArgs) { args.Netns = "/run/netns/none" }, want: problem.LinkMissing},
		"no netns":      {prepare: func(_ *testing.T, args *skel.CmdArgs) { args.Netns = os.DevNull }, want: problem.LinkMissing},
		"own netns":     {prepare: func(_ *testing.T, args *skel.CmdArgs) { args.Netns, args.IfName = "/proc/self/ns/net", "lo" }, want: problem.LinkMissing},
		"link up": {prepare: func(t *testing.T, args *skel.CmdArgs) {
			t.Helper()
			sandbox := netnstest.New(t)
			newLink(t, sandbox, "net1")
			setLinkUp(t, sandbox, "net1")
			args.Netns = sandbox.Path()
		}, want: problem.LinkUp},
		"passthru, by the link": {prepare: func(t *testing.T, args *skel.CmdArgs) {
			t.Helper()
			sandbox := netnstest.New(t)
			newLink(t, sandbox, "parent")
			changeLink(t, sandbox, "parent", func(parent netlink.Link) error {
				attrs := netlink.NewLinkAttrs()
				attrs.Name, attrs.ParentIndex = "net1", parent.Attrs().Index
				return netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_PASSTHRU})
			})
			args.Netns = sandbox.Path()
		}, want: problem.UnsupportedMain},
	}
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, leaseOf(ip4()))
			p, out := newPlugin(a)
			conf := tt.conf
			if conf == "" {
				conf = ipamConf("1.0.0", "")
			}
			args := cmdArgs(sandbox, conf)
			if tt.prepare != nil {
				tt.prepare(t, args)
			}
			if err := p.Add(t.Context(), args); !tt.want.Is(err) {
				t.Errorf("got %v, want %s", err, tt.want.Reason)
			}
			if got := a.asked(agentapi.Add); len(got) != 0 {
				t.Errorf("the agent was asked: %v", got)
			}
			if out.Len() != 0 {
				t.Errorf("printed %s", out)
			}
		})
	}
}

// Kinds that some kernels lack are judged by what the kernel calls them.
func TestRefuseKind(t *testing.T) {
	for _, link := range []links.Link{{Kind: "ipvlan"}, {Kind: "ipvtap"}, {Kind: "macvlan", Passthru: true}, {Kind: "macvtap", Passthru: true}} {
		if err := refuseKind(&link); !problem.UnsupportedMain.Is(err) {
			t.Errorf("%+v: got %v", link, err)
		}
	}
	for _, kind := range []string{"macvlan", "macvtap", "veth", "vlan", "", "tun"} {
		if err := refuseKind(&links.Link{Kind: kind}); err != nil {
			t.Errorf("%s: got %v", kind, err)
		}
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// What fails when there is a lease gives it back.
func TestAddGivesTheLeaseBack(t *testing.T) {
	multicast := leaseOf(ip4())
	multicast.MAC = "f1:fd:59:0b:bd:2b"
	noMAC := leaseOf(ip4())
	noMAC.MAC = "02:32:00:a8:32:08:00:01"
	tests := map[string]struct {
		lease  *agentapi.Lease
		stdout writer
		want   *problem.Kind
	}{
		"the kernel refuses the MAC": {lease: multicast, want: problem.LinkRefused},
		"the MAC is none":            {lease: noMAC, want: problem.Internal},
		"no address":                 {lease: leaseOf(), want: problem.Internal},
		"no valid address":           {lease: leaseOf(agentapi.IP{}), want: problem.Internal},
		"stdout is closed":           {lease: leaseOf(ip4()), stdout: func([]byte) (int, error) { return 0, os.ErrClosed }, want: problem.Internal},
		"panic":                      {lease: leaseOf(ip4()), stdout: func([]byte) (int, error) { panic("boom") }, want: problem.Internal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sandbox := netnstest.New(t)
			newLink(t, sandbox, "net1")
			a := newAgent(t, tt.lease)
			p, out := newPlugin(a)
			p.Stderr = writer(func(b []byte) (int, error) { return len(b), nil })
			if tt.stdout != nil {
				p.Stdout = tt.stdout
			}
			err := p.guard(t.Context(), cmdArgs(sandbox, ipamConf("1.0.0", "")), p.Add)
			if !tt.want.Is(err) {
				t.Errorf("got %v, want %s", err, tt.want.Reason)
			}
			if got := a.asked(agentapi.Del); len(got) != 1 || got[0].ContainerID != "c1" || got[0].Interface != "net1" {
				t.Errorf("given back: %v", got)
			}
			if out.Len() != 0 {
				t.Errorf("printed %s", out)
			}
		})
	}
}

// The founding case's MAC, had a pool ever leased it.
func TestLinkRefusedSaysWhy(t *testing.T) {
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	lease := leaseOf(ip4())
	lease.MAC = "f1:fd:59:0b:bd:2b"
	p, _ := newPlugin(newAgent(t, lease))
	err := p.Add(t.Context(), cmdArgs(sandbox, ipamConf("1.0.0", "")))
	const want = "the kernel refuses MAC f1:fd:59:0b:bd:2b on interface net1: cannot assign requested address"
	if got := problem.As(err); got == nil || got.Message != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestAddPassesTheAgentsWordOn(t *testing.T) {
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	before := macOf(t, sandbox, "net1")
	a := newAgent(t, nil)
	a.refuses(problem.PoolExhausted.New("iot", 3, 1, 1, 0, 1))
	p, _ := newPlugin(a)
	err := p.Add(t.Context(), cmdArgs(sandbox, ipamConf("1.0.0", "")))
	got := cniError(err)
	const want = "MP301: pool iot has no address left: of 3, 1 are leased, 1 cooling, 0 in conflict, 1 kept for claims that ask for them"
	if got == nil || got.Code != 301 || got.Msg != want {
		t.Errorf("got %+v, want %s", got, want)
	}
	// The agent said no, so there is nothing to give back.
	if got := a.asked(agentapi.Del); len(got) != 0 {
		t.Errorf("given back: %v", got)
	}
	if mac := macOf(t, sandbox, "net1"); mac != before {
		t.Errorf("the MAC became %s", mac)
	}
}

// A lease that comes when nobody waits any more (R-C9).
func TestAddForACallerThatIsGone(t *testing.T) {
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	ctx, leave := context.WithCancelCause(t.Context())
	a := newAgent(t, nil)
	a.answers(func(req agentapi.Request) *agentapi.Response {
		if req.Command == agentapi.Add {
			leave(errCallerGone)
			return nil
		}
		return &agentapi.Response{}
	})
	p, out := newPlugin(a)
	err := p.Add(ctx, cmdArgs(sandbox, ipamConf("1.0.0", "")))
	if got := problem.As(err); got == nil || got.Kind != problem.AgentUnreachable || !strings.HasSuffix(got.Message, errCallerGone.Error()) {
		t.Errorf("got %v", err)
	}
	if out.Len() != 0 {
		t.Errorf("printed %s", out)
	}

	link, err := enterLink(cmdArgs(sandbox, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer link.close()
	c, err := parseConf([]byte(ipamConf("1.0.0", "")))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.finish(ctx, link, leaseOf(ip4()), c); !problem.Internal.Is(err) || out.Len() != 0 {
		t.Errorf("after the answer: got %v, printed %s", err, out)
	}
}

// A link that is made again under the same name is another link.
func TestSetMACOfTheLinkThatWasLookedAt(t *testing.T) {
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	link, err := enterLink(cmdArgs(sandbox, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer link.close()
	changeLink(t, sandbox, "net1", netlink.LinkDel)
	newLink(t, sandbox, "net1")
	before := macOf(t, sandbox, "net1")
	mac, err := leasedMAC(leaseOf())
	if err != nil {
		t.Fatal(err)
	}
	if err := link.setMAC(mac); !problem.LinkRefused.Is(err) {
		t.Errorf("got %v", err)
	}
	if got := macOf(t, sandbox, "net1"); got != before {
		t.Errorf("the new link got %s", got)
	}
}

func TestPoolRoutesThatTheNetworkHas(t *testing.T) {
	lease := leaseOf(ip4())
	lease.Routes = []agentapi.Route{routeOf("10.0.0.0/8", "192.168.50.1"), routeOf("0.0.0.0/0", "192.168.50.1"), routeOf("172.16.0.0/12", "192.168.50.1")}
	c, err := parseConf([]byte(ipamConf("1.0.0", `,"routes":[{"dst":"10.1.2.3/8","gw":"192.168.50.2"},{"dst":"0.0.0.0/0","table":100}],"dns":{"domain":"here"}`)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := ipamResult(lease, c.IPAM)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, route := range r.Routes {
		got = append(got, route.Dst.String()+" via "+route.GW.String())
	}
	want := []string{"10.1.2.3/8 via 192.168.50.2", "0.0.0.0/0 via <nil>", "0.0.0.0/0 via 192.168.50.1", "172.16.0.0/12 via 192.168.50.1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if r.DNS.Domain != "here" || len(r.DNS.Nameservers) != 0 {
		t.Errorf("got DNS %v", r.DNS)
	}
}
