// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/plugins/pkg/ns"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/netnstest"
	"github.com/macpool/macpool/internal/problem"
)

// wrapperConf is the input of the wrapper itself.
func wrapperConf(delegate string) string {
	return `{"cniVersion":"1.0.0","name":"iot-vlan","type":"macpool","pool":"iot","delegate":{` + delegate + `}}`
}

// wrapperArgs are those of a call in this process; the delegate and its ipam are found as on a node.
func wrapperArgs(t *testing.T, a *agentDouble, sandbox ns.NetNS, conf string) *skel.CmdArgs {
	t.Helper()
	for _, pair := range a.env() {
		key, value, _ := strings.Cut(pair, "=")
		t.Setenv(key, value)
	}
	args := cmdArgs(sandbox, conf)
	args.Path = strings.Join([]string{filepath.Dir(pluginBinary), reference(t), doublePath(t)}, string(os.PathListSeparator))
	return args
}

// What fails after the lease is undone in the reverse order: the interface goes, by the delegate's own DEL, before the lease is given back
// (R-C14, I3). No interface with a leased address is left, nor a lease.
func TestWrapperRollback(t *testing.T) {
	tests := map[string]struct {
		kind, more string
		want       *problem.Kind
		says       string
		cni        uint
		verbs      string
		broken     bool // what is printed reaches nobody
		fenced     bool // the address has moved on before the delegate asks for it
	}{
		"it refuses the MAC":               {kind: "refusing", want: problem.DelegateFailed, says: "does not allow MAC " + testMAC, verbs: "ADD DEL"},
		"it ignores the MAC, and comes up": {kind: "stubborn", want: problem.DelegateFailed, says: problem.DelegateDiffers.Code, verbs: "ADD DEL"},
		"it sets its own at the end":       {kind: "fickle", want: problem.DelegateDiffers, says: "MAC 0a:58:c0:a8:32:08", verbs: "ADD DEL"},
		"it does not ask its ipam":         {kind: "lazy", want: problem.LinkDiffers, says: "192.168.50.8/24", verbs: "ADD DEL"},
		"it reports another address":       {kind: "liar", want: problem.DelegateDiffers, says: "192.168.50.99/24", verbs: "ADD DEL"},
		"it fails at the end":              {kind: "failing", want: problem.DelegateFailed, says: "it failed at the end", verbs: "ADD DEL"},
		"it fails at once":                 {kind: "ovs", more: `,"fail":{"ADD":100}`, want: problem.DelegateFailed, says: "busy", cni: 422, verbs: "ADD DEL"},
		"it asks for patience":             {kind: "ovs", more: `,"fail":{"ADD":11}`, want: problem.DelegateFailed, says: "busy", cni: problem.CNITryAgain, verbs: "ADD DEL"},
		"it cannot even remove it":         {kind: "failing", more: `,"fail":{"DEL":100}`, want: problem.DelegateFailed, says: "it failed at the end", verbs: "ADD DEL"},
		"its address has moved on":         {kind: "ovs", want: problem.DelegateFailed, says: problem.ContainerDeleted.Code, verbs: "ADD DEL", fenced: true},
		"nobody gets the result":           {kind: "ovs", want: problem.Internal, says: "cannot be written", verbs: "ADD DEL", broken: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sandbox := netnstest.New(t)
			a := newAgent(t, leaseOf(ip4()))
			delegate, log := double(t, tt.kind, tt.more)
			a.answers(func(req agentapi.Request) *agentapi.Response {
				if req.Command == agentapi.Lookup && tt.fenced {
					return &agentapi.Response{Error: agentapi.NewError(problem.ContainerDeleted.New("c1"))}
				}
				if req.Command != agentapi.Del {
					return &agentapi.Response{Lease: leaseOf(ip4())}
				}
				if isUp(t, sandbox) {
					t.Error("the lease was given back while the interface was up")
				}
				if got := verbsOf(delegateLog(t, log)); got != tt.verbs {
					t.Errorf("the lease was given back after %s, not after %s", got, tt.verbs)
				}
				return &agentapi.Response{}
			})
			args := wrapperArgs(t, a, sandbox, wrapperConf(delegate))
			p, out := newPlugin(a)
			if tt.broken {
				p.Stdout = brokenPipe{}
			}
			err := errorOrNone(p.Add(t.Context(), args))
			said := saying(err)
			if said.Code != tt.want.Code || !strings.Contains(said.Message, tt.says) || tt.cni != 0 && said.CNI != tt.cni || out.Len() != 0 {
				t.Errorf("got %v (%d), printed %s", err, said.CNI, out)
			}
			if isUp(t, sandbox) || !strings.Contains(tt.more, "DEL") && linkOf(t, sandbox, "net1") != nil {
				t.Error("the interface is still there")
			}
			if got := a.asked(agentapi.Del); len(got) != 1 || got[0].ContainerID != "c1" || got[0].Pool != "iot" {
				t.Errorf("asked %v", got)
			}
		})
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// A caller that is gone leaves nothing behind either (R-C9), and does not stop the delegate halfway.
func TestWrapperAbandoned(t *testing.T) {
	sandbox := netnstest.New(t)
	a := newAgent(t, leaseOf(ip4()))
	delegate, log := double(t, "ovs", "")
	ctx, cancel := context.WithCancelCause(t.Context())
	a.answers(func(req agentapi.Request) *agentapi.Response {
		if req.Command == agentapi.Lookup { // the delegate is at work
			cancel(errCallerGone)
		}
		return &agentapi.Response{Lease: leaseOf(ip4())}
	})
	p, out := newPlugin(a)
	if err := p.Add(ctx, wrapperArgs(t, a, sandbox, wrapperConf(delegate))); err == nil || out.Len() != 0 {
		t.Errorf("got %v, printed %s", err, out)
	}
	if got := verbsOf(delegateLog(t, log)); got != "ADD DEL" || linkOf(t, sandbox, "net1") != nil || len(a.asked(agentapi.Del)) != 1 {
		t.Errorf("the delegate was asked %s, the agent %v", got, a.asked(agentapi.Del))
	}
}

// What cannot work is refused before an address is leased, and what is there is left alone.
func TestWrapperRefuses(t *testing.T) {
	sandbox := netnstest.New(t)
	newLink(t, sandbox, "net2")
	a := newAgent(t, leaseOf(ip4()))
	tests := map[string]struct {
		conf  string
		iface string
		want  *problem.Kind
	}{
		"ipvlan":                  {conf: wrapperConf(`"type":"ipvlan","master":"eth0.50"`), want: problem.UnsupportedMain},
		"ptp":                     {conf: wrapperConf(`"type":"ptp"`), want: problem.UnsupportedMain},
		"macvlan passthru":        {conf: wrapperConf(`"type":"macvlan","mode":"passthru"`), want: problem.UnsupportedMain},
		"macvlan of no sense":     {conf: wrapperConf(`"type":"macvlan","mode":5`), want: problem.BadConfig},
		"a plugin that is not":    {conf: wrapperConf(`"type":"absent"`), want: problem.DelegateMissing},
		"a path":                  {conf: wrapperConf(`"type":"../bin/macvlan"`), want: problem.BadDelegate},
		"itself":                  {conf: wrapperConf(`"type":"macpool"`), want: problem.BadDelegate},
		"no type":                 {conf: wrapperConf(`"master":"eth0.50"`), want: problem.BadDelegate},
		"another pool":            {conf: wrapperConf(macvlanMain + `,"ipam":{"type":"macpool","pool":"other"}`), want: problem.BadDelegate},
		"ipam of no sense":        {conf: wrapperConf(macvlanMain + `,"ipam":[]`), want: problem.BadDelegate},
		"routes of no sense":      {conf: wrapperConf(macvlanMain + `,"ipam":{"routes":[null]}`), want: problem.BadDelegate},
		"no object":               {conf: `{"cniVersion":"1.0.0","name":"n","type":"macpool","pool":"iot","delegate":"macvlan"}`, want: problem.BadDelegate},
		"null":                    {conf: `{"cniVersion":"1.0.0","name":"n","type":"macpool","pool":"iot","delegate":null}`, want: problem.BadDelegate},
		"no pool":                 {conf: `{"cniVersion":"1.0.0","name":"n","type":"macpool","delegate":{` + macvlanMain + `}}`, want: problem.NoPoolNamed},
		"an ipam block beside it": {conf: `{"cniVersion":"1.0.0","name":"n","type":"macpool","ipam":{"type":"macpool","pool":"iot"},"delegate":{` + macvlanMain + `}}`, want: problem.UnknownRole},
		"an interface is there":   {conf: wrapperConf(macvlanMain), iface: "net2", want: problem.InterfaceExists},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			args := wrapperArgs(t, a, sandbox, tt.conf)
			if tt.iface != "" {
				args.IfName = tt.iface
			}
			p, out := newPlugin(a)
			if err := errorOrNone(p.Add(t.Context(), args)); saying(err).Code != tt.want.Code || out.Len() != 0 {
				t.Errorf("got %v, printed %s", err, out)
			}
		})
	}
	if len(a.asked(agentapi.Add))+len(a.asked(agentapi.Del)) != 0 || linkOf(t, sandbox, "net2") == nil {
		t.Errorf("asked %v", a.asked(agentapi.Add))
	}
}

// The mark of a delegate's ipam opens nothing: without a wrapper's lease there is no address, and nothing is released.
func TestInnerAlone(t *testing.T) {
	sandbox := attached(t)
	a := newAgent(t, nil)
	a.refuses(problem.NotAttached.New("c1", "net1"))
	p, out := newPlugin(a)
	args := cmdArgs(sandbox, ipamConf("1.0.0", `,"wrapped":true`))
	if err := errorOrNone(p.Add(t.Context(), args)); saying(err).Code != problem.NotAttached.Code || out.Len() != 0 {
		t.Errorf("ADD: got %v, printed %s", err, out)
	}
	if err := p.Del(t.Context(), args); err != nil || len(a.asked(agentapi.Del)) != 0 || !isUp(t, sandbox) {
		t.Errorf("DEL: got %v, asked %v", err, a.asked(agentapi.Del))
	}
	if len(a.asked(agentapi.Add)) != 0 {
		t.Error("it asked for a lease")
	}
}
