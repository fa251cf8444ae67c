// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

func TestGC(t *testing.T) {
	const attachments = `"cni.dev/valid-attachments":[{"containerID":"c1","ifname":"net1"},{"containerID":"c2","ifname":"net1"}]`
	valid := []agentapi.Attachment{{ContainerID: "c1", Interface: "net1"}, {ContainerID: "c2", Interface: "net1"}}
	tests := map[string]struct {
		conf string
		want agentapi.Request
		kind *problem.Kind
	}{
		"chained": {conf: `{"name":"iot-vlan","type":"macpool",` + attachments + `}`, want: agentapi.Request{Network: "iot-vlan", Valid: valid}},
		"ipam":    {conf: `{"name":"iot-vlan","type":"macvlan","ipam":{"type":"macpool","pool":"iot"},` + attachments + `}`, want: agentapi.Request{Network: "iot-vlan", Pool: "iot", Valid: valid}},
		"none":    {conf: `{"name":"iot-vlan","type":"macpool","cni.dev/valid-attachments":[]}`, want: agentapi.Request{Network: "iot-vlan"}},
		"garbage": {conf: `{"name":"iot-vlan","type":"macpool","cni.dev/valid-attachments":{"c1":"net1"}}`, kind: problem.BadConfig},
		"not us":  {conf: `{"name":"iot-vlan","type":"macvlan"}`, kind: problem.UnknownRole},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, nil)
			p, _ := newPlugin(a)
			err := p.GC(t.Context(), &skel.CmdArgs{StdinData: []byte(tt.conf)})
			if tt.kind != nil {
				if !tt.kind.Is(err) || len(a.asked(agentapi.GC)) != 0 {
					t.Errorf("got %v", err)
				}
				return
			}
			tt.want.Command = agentapi.GC
			if diff := cmp.Diff([]agentapi.Request{tt.want}, a.asked(agentapi.GC)); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
	a := newAgent(t, nil)
	a.refuses(problem.StillAttached.New("iot-vlan", 2))
	p, _ := newPlugin(a)
	err := p.GC(t.Context(), &skel.CmdArgs{StdinData: []byte(`{"name":"iot-vlan","type":"macpool"}`)})
	if e := cniError(err); e == nil || e.Code != 513 {
		t.Errorf("got %v", e)
	}
}

func TestStatus(t *testing.T) {
	const ipamRole = `{"name":"n","type":"macvlan","ipam":{"type":"macpool","pool":"iot"}}`
	tests := map[string]struct {
		conf   string
		answer *agentapi.Error
		pool   string
		want   uint
	}{
		"well":            {conf: ipamRole, pool: "iot"},
		"chained":         {conf: `{"name":"n","type":"macpool"}`},
		"exhausted":       {conf: ipamRole, pool: "iot", answer: agentapi.NewError(problem.PoolExhausted.New("iot", 1, 1, 0, 0, 0)), want: 50},
		"no API":          {conf: ipamRole, pool: "iot", answer: agentapi.NewError(problem.APIUnreachable.New("n1", "timeout")), want: 50},
		"journal":         {conf: ipamRole, pool: "iot", answer: agentapi.NewError(problem.JournalFailed.New("full")), want: 50},
		"limited":         {conf: ipamRole, pool: "iot", answer: &agentapi.Error{CNI: 51, Code: "MP207"}, want: 51},
		"a bad network":   {conf: ipamRole, pool: "iot", answer: &agentapi.Error{CNI: 7, Code: "MP401"}, want: 7},
		"no pool":         {conf: `{"name":"n","type":"macvlan","ipam":{"type":"macpool"}}`, want: 7},
		"no role of ours": {conf: `{"name":"n","type":"macvlan"}`, want: 7},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, nil)
			a.answers(func(agentapi.Request) *agentapi.Response { return &agentapi.Response{Error: tt.answer} })
			p, out := newPlugin(a)
			e := cniError(p.Status(t.Context(), &skel.CmdArgs{StdinData: []byte(tt.conf)}))
			if (e == nil) != (tt.want == 0) || (e != nil && e.Code != tt.want) || out.Len() != 0 {
				t.Errorf("got %v, want %d", e, tt.want)
			}
			if got := a.asked(agentapi.Status); len(got) == 1 && got[0].Pool != tt.pool {
				t.Errorf("asked %v", got)
			}
		})
	}
}

func TestStatusWithoutAgent(t *testing.T) {
	hangs := newAgent(t, nil)
	hangs.answers(func(agentapi.Request) *agentapi.Response { return nil })
	away := newAgent(t, nil)
	away.stop()
	for name, a := range map[string]*agentDouble{"hangs": hangs, "away": away} {
		t.Run(name, func(t *testing.T) {
			p, _ := newPlugin(a)
			e := cniError(p.Status(t.Context(), &skel.CmdArgs{StdinData: []byte(`{"name":"n","type":"macpool"}`)}))
			if e == nil || e.Code != 50 || e.Msg[:5] != "MP501" {
				t.Errorf("got %v", e)
			}
		})
	}
	if statusLimit >= agentapi.StatusTimeout {
		t.Error("the plugin waits as long as all of STATUS may take")
	}
}
