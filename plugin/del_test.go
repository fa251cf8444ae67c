// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/netnstest"
	"github.com/macpool/macpool/internal/problem"
)

// DEL succeeds whatever is gone or wrong, as long as the container is known (R-C4).
func TestDel(t *testing.T) {
	confs := map[string]struct{ conf, pool string }{
		"whole":             {ipamConf("1.0.0", ""), "iot"},
		"unsupported main":  {`{"name":"n","type":"ptp","ipam":{"type":"macpool","pool":"iot"}}`, "iot"},
		"no pool":           {`{"name":"n","type":"macvlan","ipam":{"type":"macpool"}}`, ""},
		"ipam is garbage":   {`{"name":"n","type":"macvlan","ipam":"macpool"}`, ""},
		"pool is garbage":   {`{"name":"n","type":"macvlan","ipam":{"type":"macpool","pool":{}}}`, ""},
		"args are garbage":  {`{"name":"n","type":"macvlan","ipam":{"type":"macpool","pool":"iot"},"args":{"cni":[]},"runtimeConfig":7}`, "iot"},
		"prevResult is too": {`{"name":"n","type":"macvlan","ipam":{"type":"macpool","pool":"iot"},"prevResult":[1]}`, "iot"},
	}
	gone := map[string]func(*skel.CmdArgs){
		"":                     func(*skel.CmdArgs) {},
		", netns gone":         func(args *skel.CmdArgs) { args.Netns = "/run/netns/none" },
		", netns empty":        func(args *skel.CmdArgs) { args.Netns = "" },
		", netns is another":   func(args *skel.CmdArgs) { args.Netns = "/dev/null" },
		", no CNI_ARGS":        func(args *skel.CmdArgs) { args.Args = "" },
		", CNI_ARGS are waste": func(args *skel.CmdArgs) { args.Args = ";=;x" },
		", link gone":          func(args *skel.CmdArgs) { args.IfName = "net7" },
	}
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net1")
	a := newAgent(t, nil)
	p, out := newPlugin(a)
	for name, c := range confs {
		for what, take := range gone {
			t.Run(name+what, func(t *testing.T) {
				args := cmdArgs(sandbox, c.conf)
				take(args)
				before := len(a.asked(agentapi.Del))
				if err := p.Del(t.Context(), args); err != nil {
					t.Fatal(err)
				}
				got := a.asked(agentapi.Del)[before:]
				if len(got) != 1 || got[0].ContainerID != "c1" || got[0].Interface != args.IfName || got[0].Pool != c.pool {
					t.Errorf("asked %v", got)
				}
			})
		}
	}
	if out.Len() != 0 {
		t.Errorf("printed %s", out)
	}
}

// By the time the lease ends its address may be leased to somebody else: the link is silent before. What macvlan would remove next is removed;
// other main plugins have something left to do with their link.
func TestDelSilencesTheLink(t *testing.T) {
	macvlan := func(t *testing.T, sandbox ns.NetNS) {
		t.Helper()
		newLink(t, sandbox, "parent")
		changeLink(t, sandbox, "parent", func(parent netlink.Link) error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.ParentIndex = "net1", parent.Attrs().Index
			return netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE})
		})
	}
	veth := func(t *testing.T, sandbox ns.NetNS) {
		t.Helper()
		newLink(t, sandbox, "net1")
	}
	for name, tt := range map[string]struct {
		main  string
		link  func(*testing.T, ns.NetNS)
		stays bool
	}{
		"macvlan":                    {"macvlan", macvlan, false},
		"macvlan, with another link": {"macvlan", veth, true},
		"bridge":                     {"bridge", veth, true},
	} {
		t.Run(name, func(t *testing.T) {
			sandbox := netnstest.New(t)
			tt.link(t, sandbox)
			setLinkUp(t, sandbox, "net1")
			a := newAgent(t, nil)
			a.answers(func(agentapi.Request) *agentapi.Response {
				if isUp(t, sandbox) {
					t.Error("the lease ended before the link was silent")
				}
				return &agentapi.Response{}
			})
			p, _ := newPlugin(a)
			conf := strings.Replace(ipamConf("1.0.0", ""), `"type":"macvlan"`, `"type":"`+tt.main+`"`, 1)
			for range 2 { // runtimes repeat it
				if err := p.Del(t.Context(), cmdArgs(sandbox, conf)); err != nil {
					t.Fatal(err)
				}
			}
			if isUp(t, sandbox) || (linkOf(t, sandbox, "net1") != nil) != tt.stays || len(a.asked(agentapi.Del)) != 2 {
				t.Errorf("the link is %v, or the agent does not know", linkOf(t, sandbox, "net1"))
			}
		})
	}
}

// CNI_NETNS that names the node's own namespace: its links are not the pod's.
func TestDelLeavesTheNodeAlone(t *testing.T) {
	node := netnstest.New(t)
	newLink(t, node, "net1")
	setLinkUp(t, node, "net1")
	a := newAgent(t, nil)
	p, _ := newPlugin(a)
	netnstest.Do(t, node, func() error { return p.Del(t.Context(), cmdArgs(node, ipamConf("1.0.0", ""))) })
	if !isUp(t, node) {
		t.Error("the node's link was set down")
	}
	if len(a.asked(agentapi.Del)) != 1 {
		t.Error("the agent does not know")
	}
}

func TestChainedDelDoesNothing(t *testing.T) {
	sandbox := attached(t)
	a := newAgent(t, nil)
	p, _ := newPlugin(a)
	for _, conf := range []string{chainedConf(prevResult(testMAC)), `{"name":"n","type":"macpool"}`} {
		if err := p.Del(t.Context(), cmdArgs(sandbox, conf)); err != nil {
			t.Error(err)
		}
	}
	if got := a.asked(agentapi.Del); len(got) != 0 || !isUp(t, sandbox) {
		t.Errorf("asked %v, or set the link down before the plugins whose turn it is", got)
	}
}

// DEL while the agent is away, or cannot do it (R-C6).
func TestDelIsSpooled(t *testing.T) {
	tests := map[string]func(*agentDouble){
		"away":     func(a *agentDouble) { a.stop() },
		"refusing": func(a *agentDouble) { a.refuses(problem.JournalFailed.New("disk full")) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, nil)
			spoil(a)
			p, _ := newPlugin(a)
			args := cmdArgs(nil, ipamConf("1.0.0", ""))
			for range 3 {
				if err := p.Del(t.Context(), args); err != nil {
					t.Fatal(err)
				}
			}
			want := []agentapi.Request{{
				Command: agentapi.Del, ContainerID: "c1", Interface: "net1", Network: "iot-vlan", Pool: "iot",
				Pod: agentapi.Pod{Namespace: "home", Name: "db-0", UID: "u-1"},
			}}
			if diff := cmp.Diff(want, spooled(t, filepath.Join(a.state, agentapi.SpoolDir))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDelThatCannotBeKept(t *testing.T) {
	for name, state := range map[string]string{"not a directory": "/dev/null", "not there": "/proc/none"} {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, nil)
			a.stop()
			p := &Plugin{Getenv: func(key string) string {
				return map[string]string{agentapi.SocketEnv: a.socket, agentapi.StateDirEnv: state}[key]
			}}
			err := p.Del(t.Context(), cmdArgs(nil, ipamConf("1.0.0", "")))
			e := forDel(cniError(err))
			if e == nil || e.Code != problem.CNITryAgain || swallowed.MatchString(e.Error()) {
				t.Errorf("got %v", e)
			}
		})
	}
}
