// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/netnstest"
	"github.com/macpool/macpool/internal/problem"
)

// DEL ends the lease whatever is gone or wrong, as long as the container is known (R-C4). A delegate that cannot be read has made nothing.
func TestWrapperDel(t *testing.T) {
	a := newAgent(t, nil)
	sandbox := netnstest.New(t)
	confs := map[string]string{
		"whole":                 wrapperConf(macvlanMain),
		"no pool":               `{"cniVersion":"1.0.0","name":"n","type":"macpool","delegate":{` + macvlanMain + `}}`,
		"pool is garbage":       `{"cniVersion":"1.0.0","name":"n","type":"macpool","pool":{},"delegate":{` + macvlanMain + `}}`,
		"delegate is garbage":   `{"cniVersion":"1.0.0","name":"n","type":"macpool","pool":"iot","delegate":"macvlan"}`,
		"delegate is empty":     `{"cniVersion":"1.0.0","name":"n","type":"macpool","pool":"iot","delegate":{}}`,
		"ipam is garbage":       wrapperConf(macvlanMain + `,"ipam":"static"`),
		"args are garbage":      strings.TrimSuffix(wrapperConf(macvlanMain), "}") + `,"args":{"cni":[]},"runtimeConfig":7}`,
		"prevResult is garbage": strings.TrimSuffix(wrapperConf(bridgeMain), "}") + `,"prevResult":null}`,
	}
	gone := map[string]func(*skel.CmdArgs){
		"":                     func(*skel.CmdArgs) {},
		", netns gone":         func(args *skel.CmdArgs) { args.Netns = "/run/netns/none" },
		", netns empty":        func(args *skel.CmdArgs) { args.Netns = "" },
		", no CNI_ARGS":        func(args *skel.CmdArgs) { args.Args = "" },
		", CNI_ARGS are waste": func(args *skel.CmdArgs) { args.Args = ";=;x" },
		", link gone":          func(args *skel.CmdArgs) { args.IfName = "net7" },
	}
	for name, conf := range confs {
		for what, take := range gone {
			t.Run(name+what, func(t *testing.T) {
				args := wrapperArgs(t, a, sandbox, conf)
				take(args)
				before := len(a.asked(agentapi.Del))
				p, out := newPlugin(a)
				// macvlan and bridge themselves refuse CNI_ARGS that they cannot read.
				if err := p.Del(t.Context(), args); err != nil && !strings.Contains(what, "waste") {
					t.Fatal(err)
				}
				got := a.asked(agentapi.Del)[before:]
				if len(got) != 1 || got[0].ContainerID != "c1" || got[0].Interface != args.IfName || out.Len() != 0 {
					t.Errorf("asked %v, printed %s", got, out)
				}
			})
		}
	}
}

// A delegate that fails, or is not there any more, keeps no interface up, and so no lease; the runtime hears of it, and tries again.
func TestWrapperDelFails(t *testing.T) {
	tests := map[string]struct {
		more string
		path bool
		want *problem.Kind
	}{
		"the delegate fails":  {more: `,"fail":{"DEL":100}`, path: true, want: problem.DelegateFailed},
		"there is none":       {want: problem.DelegateMissing},
		"the delegate can do": {path: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sandbox := attached(t)
			delegate, _ := double(t, "ovs", tt.more)
			a := newAgent(t, nil)
			a.answers(func(agentapi.Request) *agentapi.Response {
				if isUp(t, sandbox) {
					t.Error("the lease ended before the link was down")
				}
				return &agentapi.Response{}
			})
			args := wrapperArgs(t, a, sandbox, wrapperConf(delegate))
			if !tt.path {
				args.Path = filepath.Dir(pluginBinary)
			}
			p, _ := newPlugin(a)
			err := p.Del(t.Context(), args)
			if tt.want == nil && err != nil || tt.want != nil && saying(errorOrNone(err)).Code != tt.want.Code {
				t.Errorf("got %v", err)
			}
			if isUp(t, sandbox) || len(a.asked(agentapi.Del)) != 1 {
				t.Errorf("the link is up, or the agent does not know: %v", a.asked(agentapi.Del))
			}
		})
	}
}

// R-C6: nobody answers, the interface goes all the same, and the agent finds the word when it is back.
func TestWrapperAgentAway(t *testing.T) {
	a := newAgent(t, leaseOf(ip4()))
	n, p := newNode(t, a), newPod(t, "c1")
	list := network(t, listOf("1.0.0", wrapped(macvlanMain)))
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
	if got := spooled(t, filepath.Join(a.state, agentapi.SpoolDir)); len(got) != 1 || got[0].ContainerID != "c1" || got[0].Pool != "iot" {
		t.Errorf("spooled %v", got)
	}
	if _, err := n.add(t, list, newPod(t, "c2")); err == nil || !strings.Contains(err.Error(), problem.AgentUnreachable.Code) {
		t.Errorf("ADD: got %v", err)
	}
}
