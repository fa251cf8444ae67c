// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// delegating is an entry of the wrapper form.
func delegating(delegate string, more ...string) string {
	return `{"type": "macpool", "pool": "iot", ` + strings.Join(more, "") + `"delegate": ` + delegate + `}`
}

// What is wrong with a network in the wrapper form, and that nothing is said of one that works.
func TestLintWrapper(t *testing.T) {
	const (
		macvlan = `{"type": "macvlan", "master": "eth0.50", "mode": "bridge"}`
		tuning  = `{"type": "tuning", "capabilities": {"mac": true}}`
	)
	for name, tc := range map[string]struct {
		config string
		want   []string
		words  string
	}{
		"macvlan":                 {config: listed(delegating(macvlan))},
		"alone":                   {config: strings.Replace(delegating(macvlan), "{", `{"cniVersion": "1.0.0", "name": "iot", `, 1)},
		"sriov":                   {config: listed(delegating(`{"type": "sriov", "vlan": 50, "trust": "on"}`))},
		"ovs":                     {config: listed(delegating(`{"type": "ovs", "bridge": "br1", "vlan": 50}`))},
		"bridge with spoof check": {config: listed(delegating(`{"type": "bridge", "bridge": "br50", "macspoofchk": true}`))},
		"others after it":         {config: listed(delegating(macvlan), tuning, `{"type": "sbr"}`)},
		"chained after it":        {config: listed(delegating(macvlan), ourChain)},
		"routes":                  {config: listed(delegating(`{"type": "macvlan", "master": "eth0.50", "ipam": {"type": "macpool", "pool": "iot", "routes": []}}`))},
		"a MAC that is replaced":  {config: listed(delegating(`{"type": "macvlan", "master": "eth0.50", "mac": "f1:fd:59:0b:bd:2b"}`))},

		"another VLAN":            {config: listed(delegating(`{"type": "macvlan", "master": "eth0.60"}`)), want: []string{"MP411"}, words: `"master": "eth0.60" of plugin macvlan`},
		"another VLAN, by bridge": {config: listed(delegating(`{"type": "bridge", "bridge": "br0", "vlan": 60}`)), want: []string{"MP411"}, words: "60"},
		"ipvlan":                  {config: listed(delegating(`{"type": "ipvlan", "master": "eth0.50"}`)), want: []string{"MP404"}, words: "MAC of their parent"},
		"passthru":                {config: listed(delegating(`{"type": "macvlan", "master": "eth0.50", "mode": "passthru"}`)), want: []string{"MP404"}},
		"another ipam":            {config: listed(delegating(`{"type": "macvlan", "ipam": {"type": "host-local"}}`)), want: []string{"MP420"}, words: "its ipam is host-local, and pool iot leases addresses"},
		"another pool":            {config: listed(delegating(`{"type": "macvlan", "ipam": {"type": "macpool", "pool": "lab"}}`)), want: []string{"MP420"}, words: "lab"},
		"itself":                  {config: listed(delegating(`{"type": "macpool"}`)), want: []string{"MP420"}},
		"no type":                 {config: listed(delegating(`{}`)), want: []string{"MP420"}},
		"no object":               {config: listed(delegating(`"macvlan"`)), want: []string{"MP420"}},
		"null":                    {config: listed(delegating(`null`)), want: []string{"MP420"}},
		"ipam beside it":          {config: listed(delegating(macvlan, ourIPAM+", ")), want: []string{"MP403"}},
		"no pool":                 {config: listed(`{"type": "macpool", "delegate": ` + macvlan + `}`), want: []string{"MP305"}, words: "beside the delegate"},
		"no version":              {config: `{"name": "iot", "plugins": [` + delegating(macvlan) + `]}`, want: []string{"MP407"}},
		"two interfaces":          {config: listed(delegating(macvlan), leasing("macvlan", `"master": "eth0.50"`)), want: []string{"MP412"}, words: "macpool in plugin macvlan and macpool in plugin macvlan"},
		"ranges":                  {config: listed(delegating(`{"type": "macvlan", "master": "eth0.50", "ipam": {"range": "192.168.50.0/24"}}`)), want: []string{"MP413"}, words: "range"},
		"overwritten":             {config: listed(delegating(macvlan), `{"type": "tuning", "mac": "02:32:00:00:00:01"}`), want: []string{"MP414"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			var texts strings.Builder
			for _, p := range Lint(nadOf("iot", tc.config), poolOn(50)) {
				got = append(got, p.Kind.Code)
				texts.WriteString(p.Error() + "\n")
			}
			text := texts.String()
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s%s", diff, text)
			}
			if !strings.Contains(text, tc.words) {
				t.Errorf("%q is not in %s", tc.words, text)
			}
		})
	}
}

// A pool of MACs alone goes with the wrapper form, and with whatever gives the addresses there, or with nothing that does.
func TestLintMACsAlone(t *testing.T) {
	const macvlan = `{"type": "macvlan", "master": "eth0.50", "ipam": %s}`
	for name, tc := range map[string]struct {
		config string
		want   []string
		words  string
	}{
		"dhcp":       {config: listed(delegating(fmt.Sprintf(macvlan, `{"type": "dhcp", "provide": [], "routes": 1}`)))},
		"ranges":     {config: listed(delegating(fmt.Sprintf(macvlan, `{"type": "whereabouts", "range": "192.168.50.0/24"}`)))},
		"none":       {config: listed(delegating(`{"type": "macvlan", "master": "eth0.50"}`))},
		"of no type": {config: listed(delegating(fmt.Sprintf(macvlan, `{}`)))},

		"macpool there": {config: listed(delegating(fmt.Sprintf(macvlan, `{"type": "macpool"}`))), want: []string{"MP425"}, words: `"ipam": {"type": "dhcp"}`},
		"as ipam":       {config: chain(leasing("macvlan", `"master": "eth0.50"`)), want: []string{"MP425"}, words: "pool iot leases MACs alone, and network"},
		"a second ipam": {
			config: listed(delegating(fmt.Sprintf(macvlan, `{"type": "dhcp"}`)), `{"type": "tap", "ipam": {"type": "static"}}`),
			want:   []string{"MP412"}, words: "dhcp in plugin macvlan and static in plugin tap",
		},
	} {
		t.Run(name, func(t *testing.T) {
			pool := poolOn(50)
			pool.Spec.Subnets = nil
			var got, texts []string
			for _, p := range Lint(nadOf("iot", tc.config), pool) {
				got, texts = append(got, p.Kind.Code), append(texts, p.Error())
			}
			if diff, text := cmp.Diff(tc.want, got), strings.Join(texts, "\n"); diff != "" || !strings.Contains(text, tc.words) {
				t.Errorf("%s%s", diff, text)
			}
		})
	}
	for _, p := range Lint(nadOf("iot", listed(delegating(fmt.Sprintf(macvlan, `{"type": "dhcp"}`)))), nil) {
		if p.Kind.Code != "MP302" {
			t.Errorf("of a pool that is not there is said %s", p)
		}
	}
}

// The manager finds the pool, the wishes and the links of a network in the wrapper form.
func TestOfWrapper(t *testing.T) {
	nad := nadOf("iot", listed(delegating(`{"type": "macvlan", "master": "eth0.50"}`,
		`"capabilities": {"mac": true}, "args": {"cni": {"ips": ["a"], "claim": "c"}}, `)))
	got, err := Of(nad)
	if err != nil {
		t.Fatal(err)
	}
	want := Network{Ours: true, Pool: "iot", Chained: true, Claim: "c", args: Wish{IPs: []string{"a"}}, macCapability: true}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Network{})); diff != "" {
		t.Error(diff)
	}
	if links := LinksOf([]nadv1.NetworkAttachmentDefinition{*nad}); !slices.Equal(links, []string{"eth0.50"}) {
		t.Errorf("the links are %v", links)
	}
}

// A delegate without a master needs a pool that names parents, on its own VLAN.
func TestLintParents(t *testing.T) {
	parents := func(links ...string) []v1alpha1.Parent {
		var all []v1alpha1.Parent
		for _, link := range links {
			all = append(all, v1alpha1.Parent{Link: link})
		}
		return all
	}
	const none, own = `{"type": "macvlan", "mode": "bridge"}`, `{"type": "macvlan", "master": "eth0.50"}`
	for name, tc := range map[string]struct {
		delegate string
		parents  []v1alpha1.Parent
		want     string
		words    string
	}{
		"none":                     {delegate: none, want: "MP311", words: "names no master"},
		"one":                      {delegate: none, parents: parents("eth0.50", "bond0.50")},
		"one of no telling name":   {delegate: none, parents: parents("lan")},
		"one of another VLAN":      {delegate: none, parents: parents("eth0.50", "bond0.60"), want: "MP411", words: `"link": "bond0.50" in spec.parents`},
		"of its own, none":         {delegate: own},
		"of its own, others there": {delegate: own, parents: parents("bond0.60")},
	} {
		t.Run(name, func(t *testing.T) {
			pool := poolOn(50)
			pool.Spec.Parents = tc.parents
			var codes, text string
			for _, p := range Lint(nadOf("iot", listed(delegating(tc.delegate))), pool) {
				codes += p.Kind.Code
				text += p.Error()
			}
			if codes != tc.want || !strings.Contains(text, tc.words) {
				t.Errorf("got %s", text)
			}
		})
	}
}
