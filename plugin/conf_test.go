// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

func TestRole(t *testing.T) {
	tests := map[string]struct {
		conf string
		want role
		kind *problem.Kind
	}{
		"ipam":                {conf: `{"name":"n","type":"macvlan","ipam":{"type":"macpool","pool":"iot"}}`, want: ipam},
		"ipam without a pool": {conf: `{"name":"n","type":"macvlan","ipam":{"type":"macpool"}}`, want: ipam},
		"chained":             {conf: `{"name":"n","type":"macpool"}`, want: chained},
		"chained, as libcni adds to it": {
			conf: `{"name":"n","type":"macpool","capabilities":{"mac":true},"runtimeConfig":{"mac":"02:00:00:00:00:01"},"dns":{}}`, want: chained,
		},
		"somebody else's":      {conf: `{"name":"n","type":"macvlan","ipam":{"type":"static"}}`, kind: problem.UnknownRole},
		"nothing":              {conf: `{"name":"n"}`, kind: problem.UnknownRole},
		"both":                 {conf: `{"name":"n","type":"macpool","ipam":{"type":"macpool","pool":"iot"}}`, kind: problem.UnknownRole},
		"wrapper":              {conf: `{"name":"n","type":"macpool","pool":"iot","delegate":{"type":"macvlan"}}`, want: wrapper},
		"wrapper and ipam":     {conf: `{"name":"n","type":"macpool","ipam":{"type":"macpool","pool":"iot"},"delegate":{"type":"macvlan"}}`, kind: problem.UnknownRole},
		"a delegate's ipam":    {conf: `{"name":"n","type":"macvlan","ipam":{"type":"macpool","pool":"iot","wrapped":true}}`, want: inner},
		"ipam is no object":    {conf: `{"name":"n","type":"macvlan","ipam":"macpool"}`, kind: problem.BadConfig},
		"pool is no string":    {conf: `{"name":"n","type":"macvlan","ipam":{"type":"macpool","pool":7}}`, kind: problem.BadConfig},
		"ips are no list":      {conf: `{"name":"n","args":{"cni":{"ips":"192.168.50.8"}},"type":"macvlan","ipam":{"type":"macpool"}}`, kind: problem.BadConfig},
		"ips are no strings":   {conf: `{"name":"n","args":{"cni":{"ips":[1]}},"type":"macvlan","ipam":{"type":"macpool"}}`, kind: problem.BadConfig},
		"mac is no string":     {conf: `{"name":"n","args":{"cni":{"mac":["02:00:00:00:00:01"]}},"type":"macvlan","ipam":{"type":"macpool"}}`, kind: problem.BadConfig},
		"cni is no object":     {conf: `{"name":"n","args":{"cni":[]},"type":"macvlan","ipam":{"type":"macpool"}}`, kind: problem.BadConfig},
		"route is none":        {conf: `{"name":"n","type":"macvlan","ipam":{"type":"macpool","routes":[{"dst":"here"}]}}`, kind: problem.BadConfig},
		"route is null":        {conf: `{"name":"n","type":"macvlan","ipam":{"type":"macpool","routes":[null]}}`, kind: problem.BadConfig},
		"prevResult is none":   {conf: `{"cniVersion":"1.0.0","name":"n","type":"macpool","prevResult":{"ips":"x"}}`, kind: problem.BadConfig},
		"prevResult is a list": {conf: `{"cniVersion":"1.0.0","name":"n","type":"macpool","prevResult":[]}`, kind: problem.BadConfig},
		"no JSON":              {conf: `{"name":`, kind: problem.BadConfig},
		"no object":            {conf: `[]`, kind: problem.BadConfig},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := parseConf([]byte(tt.conf))
			var got role
			if err == nil {
				got, err = c.role()
			}
			if tt.kind != nil {
				if !tt.kind.Is(err) {
					t.Fatalf("got %v, want %s", err, tt.kind.Reason)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %d, %v, want %d", got, err, tt.want)
			}
		})
	}
}

func TestBadTypeIsNamed(t *testing.T) {
	_, err := parseConf([]byte(`{"args":{"cni":{"ips":"192.168.50.8"}}}`))
	const want = "MP401: the network configuration cannot be read: args.cni.ips must not be a JSON string." +
		" Correct the JSON in the NetworkAttachmentDefinition's spec.config."
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestWish(t *testing.T) {
	const env = "IP=192.168.50.7/24,fd00:50::7;MAC=02:32:00:a8:32:07"
	tests := map[string]struct {
		conf, env string
		want      agentapi.Wish
	}{
		"none": {conf: `{}`},
		"environment": {conf: `{}`, env: env, want: agentapi.Wish{
			IPs: []string{"192.168.50.7/24", "fd00:50::7"}, MAC: "02:32:00:a8:32:07",
		}},
		"annotation before environment": {
			conf: `{"args":{"cni":{"ips":["192.168.50.8"],"mac":"02:32:00:a8:32:08"}}}`, env: env,
			want: agentapi.Wish{IPs: []string{"192.168.50.8"}, MAC: "02:32:00:a8:32:08"},
		},
		"runtime before annotation": {
			conf: `{"args":{"cni":{"ips":["192.168.50.8"],"mac":"02:32:00:a8:32:08"}},"runtimeConfig":{"ips":["192.168.50.9/24"],"mac":"02:32:00:a8:32:09"}}`, env: env,
			want: agentapi.Wish{IPs: []string{"192.168.50.9/24"}, MAC: "02:32:00:a8:32:09"},
		},
		"each for itself": {
			conf: `{"args":{"cni":{"mac":"02:32:00:a8:32:08"}},"runtimeConfig":{"ips":["192.168.50.9"]}}`, env: env,
			want: agentapi.Wish{IPs: []string{"192.168.50.9"}, MAC: "02:32:00:a8:32:08"},
		},
		"a claim by its name":                {conf: `{"args":{"cni":{"claim":"home-assistant"}}}`, want: agentapi.Wish{Claim: "home-assistant"}},
		"a claim and an address":             {conf: `{"args":{"cni":{"claim":"a","ips":["192.168.50.8"]}}}`, want: agentapi.Wish{Claim: "a", IPs: []string{"192.168.50.8"}}},
		"a claim that the runtime speaks of": {conf: `{"runtimeConfig":{"claim":"a"}}`},
		"empty is none":                      {conf: `{"runtimeConfig":{"ips":[],"mac":""}}`, env: "IP=192.168.50.7", want: agentapi.Wish{IPs: []string{"192.168.50.7"}}},
		"unparsed":                           {conf: `{"runtimeConfig":{"ips":["nonsense"],"mac":"f1:fd:59:0b:bd:2b"}}`, want: agentapi.Wish{IPs: []string{"nonsense"}, MAC: "f1:fd:59:0b:bd:2b"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := parseConf([]byte(tt.conf))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, c.wish(parseArgs(tt.env))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseArgs(t *testing.T) {
	tests := map[string]struct {
		args     string
		want     cniArgs
		complete bool
	}{
		"empty": {},
		"containerd": {
			args: "K8S_POD_UID=u-1;IgnoreUnknown=1;K8S_POD_NAMESPACE=home;K8S_POD_NAME=db-0;K8S_POD_INFRA_CONTAINER_ID=c1",
			want: cniArgs{pod: agentapi.Pod{Namespace: "home", Name: "db-0", UID: "u-1"}}, complete: true,
		},
		"no UID":           {args: "K8S_POD_NAMESPACE=home;K8S_POD_NAME=db-0", want: cniArgs{pod: agentapi.Pod{Namespace: "home", Name: "db-0"}}},
		"= in a value":     {args: "X=a=b;MAC=02:00:00:00:00:01=", want: cniArgs{mac: "02:00:00:00:00:01="}},
		"no pair":          {args: ";;junk;=;IP", want: cniArgs{}},
		"last one counts":  {args: "MAC=a;MAC=b", want: cniArgs{mac: "b"}},
		"addresses":        {args: "IP= 192.168.50.8/24 ,,fd00:50::8", want: cniArgs{ips: []string{"192.168.50.8/24", "fd00:50::8"}}},
		"case of the keys": {args: "mac=02:00:00:00:00:01;ip=192.168.50.8", want: cniArgs{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := parseArgs(tt.args)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(cniArgs{})); diff != "" {
				t.Error(diff)
			}
			if got.complete() != tt.complete {
				t.Errorf("complete: got %t", got.complete())
			}
		})
	}
}

func TestSkimConf(t *testing.T) {
	tests := map[string]struct{ conf, name, kind, pool string }{
		"whole":           {`{"name":"n","type":"macvlan","ipam":{"type":"macpool","pool":"iot"}}`, "n", "macvlan", "iot"},
		"ipam is garbage": {`{"name":"n","type":"macvlan","ipam":[1]}`, "n", "macvlan", ""},
		"pool is garbage": {`{"name":"n","type":"macvlan","ipam":{"pool":{}}}`, "n", "macvlan", ""},
		"args too":        {`{"name":"n","type":"macpool","args":7,"prevResult":[]}`, "n", "macpool", ""},
		"type is garbage": {`{"name":"n","type":7,"ipam":{"pool":"iot"}}`, "n", "", "iot"},
		"no JSON":         {`{`, "", "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := skimConf([]byte(tt.conf))
			if c.Name != tt.name || c.Type != tt.kind || c.IPAM.Pool != tt.pool {
				t.Errorf("got %q %q %q, want %q %q %q", c.Name, c.Type, c.IPAM.Pool, tt.name, tt.kind, tt.pool)
			}
		})
	}
}

func TestRefuseMain(t *testing.T) {
	tests := map[string]*problem.Kind{
		`{"type":"macvlan"}`:                          nil,
		`{"type":"macvlan","mode":"bridge"}`:          nil,
		`{"type":"bridge","macspoofchk":false}`:       nil,
		`{"type":"vlan","mode":7}`:                    nil,
		`{"type":"host-device"}`:                      nil,
		`{"type":"tap"}`:                              nil,
		`{"type":"macvlan","mode":"passthru"}`:        problem.UnsupportedMain,
		`{"type":"bridge","macspoofchk":true}`:        problem.UnsupportedMain,
		`{"type":"ipvlan"}`:                           problem.UnsupportedMain,
		`{"type":"ptp"}`:                              problem.UnsupportedMain,
		`{"type":"sriov"}`:                            problem.UnsupportedMain,
		`{"type":"ovs"}`:                              problem.UnsupportedMain,
		`{"type":"macvlan","mode":1}`:                 problem.BadConfig,
		`{"type":"bridge","macspoofchk":"yes"}`:       problem.BadConfig,
		`{"type":"macvtap","mode":"passthru"}`:        problem.UnsupportedMain,
		`{"type":"bridge","mode":"passthru","ip":{}}`: nil,
	}
	for text, kind := range tests {
		t.Run(text, func(t *testing.T) {
			c, err := parseConf([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			err = c.refuseMain()
			if (kind == nil && err != nil) || (kind != nil && !kind.Is(err)) {
				t.Errorf("got %v", err)
			}
		})
	}
}
