// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/cni"
	"github.com/macpool/macpool/internal/problem"
)

func nadOf(name, config string) *nadv1.NetworkAttachmentDefinition {
	return &nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: name, UID: types.UID(name), ResourceVersion: "1"},
		Spec:       nadv1.NetworkAttachmentDefinitionSpec{Config: config},
	}
}

// poolOn is pool iot on a VLAN.
func poolOn(vlan int32) *v1alpha1.MacPool {
	return &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: "iot", Generation: 3}, Spec: v1alpha1.MacPoolSpec{
		VLAN: new(vlan), Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24"}},
	}}
}

const (
	ourIPAM  = `"ipam": {"type": "macpool", "pool": "iot"}`
	ourChain = `{"type": "macpool"}`
)

// listed is a network of plugins.
func listed(plugins ...string) string {
	return `{"cniVersion": "1.0.0", "name": "iot", "plugins": [` + strings.Join(plugins, ", ") + `]}`
}

// leasing is a plugin with macpool as its ipam, and more settings.
func leasing(plugin, settings string) string {
	if settings != "" {
		settings += ", "
	}
	return fmt.Sprintf(`{"type": %q, %s%s}`, plugin, settings, ourIPAM)
}

// chain is a main plugin with other plugins, complete with the chained entry.
func chain(main string, others ...string) string {
	return listed(append(append([]string{main}, others...), ourChain)...)
}

func TestLint(t *testing.T) {
	macvlan := leasing("macvlan", `"master": "eth0.50", "mode": "bridge"`)
	const (
		tuning   = `{"type": "tuning", "capabilities": {"mac": true, "ips": true}}`
		founding = `{"type": "macvlan", "master": "eth0.50", "mode": "bridge", "ipam": {"type": "macpool", "pool": "iot", "routes": [{"dst": "192.168.50.0/24", "gw": "192.168.50.1"}]}}`
	)
	for name, tc := range map[string]struct {
		config string
		// want are codes, words what one of the messages must say.
		want  []string
		words []string
	}{
		"nothing":                   {config: ``},
		"others":                    {config: `{"type": "macvlan", "master": "eth0.60", "mode": "passthru", "ipam": {"type": "static", "addresses": []}}`},
		"others of no sense":        {config: `{"type": "macvlan"`},
		"complete":                  {config: chain(macvlan)},
		"bridge":                    {config: chain(leasing("bridge", `"bridge": "br50"`))},
		"founding case":             {config: listed(founding, tuning), want: []string{"MP405"}, words: []string{"network home/iot ", `{"type": "macpool"}`}},
		"founding case, complete":   {config: listed(founding, tuning, ourChain)},
		"founding case, old":        {config: strings.Replace(listed(founding, tuning, ourChain), "1.0.0", "0.3.1", 1)},
		"tuning last":               {config: listed(founding, ourChain, tuning)},
		"our nonsense":              {config: `{"type": "macpool"`, want: []string{"MP401"}},
		"only chained":              {config: listed(`{"type": "macvlan", "ipam": {"type": "static"}}`, ourChain), want: []string{"MP403"}, words: []string{"home/iot"}},
		"chained first":             {config: listed(ourChain, macvlan), want: []string{"MP403"}, words: []string{"home/iot"}},
		"chained with ipam":         {config: listed(macvlan, leasing("macpool", "")), want: []string{"MP403"}, words: []string{"home/iot"}},
		"no pool":                   {config: chain(`{"type": "macvlan", "ipam": {"type": "macpool"}}`), want: []string{"MP305"}, words: []string{`"home/iot"`}},
		"another pool":              {config: chain(`{"type": "macvlan", "ipam": {"type": "macpool", "pool": "tv"}}`), want: []string{"MP302"}, words: []string{`"tv"`, "home/iot"}},
		"no version":                {config: `{"plugins": [` + macvlan + `, ` + ourChain + `]}`, want: []string{"MP407"}, words: []string{"home/iot says none", "1.0.0"}},
		"old version":               {config: strings.Replace(chain(macvlan), "1.0.0", "0.2.0", 1), want: []string{"MP407"}, words: []string{"home/iot says 0.2.0"}},
		"version of no sense":       {config: strings.Replace(chain(macvlan), `"1.0.0"`, `1`, 1), want: []string{"MP407"}},
		"versions":                  {config: strings.Replace(chain(macvlan), `"cniVersion": "1.0.0"`, `"cniVersions": ["0.2.0", "1.1.0"]`, 1)},
		"versions, none of ours":    {config: strings.Replace(chain(macvlan), `"cniVersion": "1.0.0"`, `"cniVersions": ["0.1.0", "0.2.0"]`, 1), want: []string{"MP407"}},
		"passthru":                  {config: chain(leasing("macvlan", `"mode": "passthru"`)), want: []string{"MP404"}, words: []string{"plugin macvlan of network home/iot", "macvlan in bridge mode"}},
		"ipvlan":                    {config: chain(leasing("ipvlan", `"master": "eth0.50"`)), want: []string{"MP404"}, words: []string{"plugin ipvlan of network home/iot"}},
		"macspoofchk":               {config: chain(leasing("bridge", `"macspoofchk": true`)), want: []string{"MP404"}, words: []string{"without macspoofchk"}},
		"mode of no sense":          {config: chain(leasing("macvlan", `"mode": 5`)), want: []string{"MP401"}, words: []string{"home/iot"}},
		"another VLAN":              {config: chain(leasing("macvlan", `"master": "eth0.60"`)), want: []string{"MP411"}, words: []string{"home/iot", "VLAN 60", "VLAN 50", `"master": "eth0.50"`}},
		"another VLAN of a bridge":  {config: chain(leasing("bridge", `"bridge": "br0.50", "vlan": 60`)), want: []string{"MP411"}, words: []string{`Write "vlan": 50`}},
		"another VLAN of a vlan":    {config: chain(leasing("vlan", `"master": "eth0", "vlanId": 60`)), want: []string{"MP411"}, words: []string{`Write "vlanId": 50`}},
		"ipam of tuning":            {config: chain(macvlan, `{"type": "tuning", "ipam": {"type": "static"}}`), want: []string{"MP412"}, words: []string{"home/iot", "macpool in plugin macvlan and static in plugin tuning"}},
		"ipam before":               {config: chain(`{"type": "bridge", "ipam": {"type": "dhcp"}}`, macvlan), want: []string{"MP412"}, words: []string{"dhcp in plugin bridge and macpool in plugin macvlan"}},
		"macpool twice":             {config: chain(macvlan, macvlan), want: []string{"MP412"}, words: []string{"macpool in plugin macvlan and macpool in plugin macvlan"}},
		"empty ipam beside":         {config: chain(macvlan, `{"type": "tuning", "ipam": {}}`)},
		"left by static":            {config: chain(leftBy(`"addresses": [{"address": "192.168.50.8/24"}]`)), want: []string{"MP413"}, words: []string{"home/iot has addresses,", "MacPool"}},
		"left by host-local":        {config: chain(leftBy(`"ranges": [[]], "rangeStart": "a", "subnet": "b", "gateway": "c"`)), want: []string{"MP413"}, words: []string{"gateway, rangeStart, ranges and subnet"}},
		"left by whereabouts":       {config: chain(leftBy(`"range": "a", "range_start": "b", "exclude": []`)), want: []string{"MP413"}, words: []string{"exclude, range and range_start"}},
		"routes and dns are read":   {config: chain(leftBy(`"routes": [], "dns": {}`))},
		"mac of tuning":             {config: chain(macvlan, `{"type": "tuning", "mac": "02:00:00:00:00:01"}`), want: []string{"MP414"}, words: []string{"home/iot", "plugin tuning sets 02:00:00:00:00:01"}},
		"mac of tuning's args":      {config: chain(macvlan, `{"type": "tuning", "args": {"cni": {"mac": "02:00:00:00:00:01"}}}`), want: []string{"MP414"}},
		"mac unset by tuning":       {config: chain(macvlan, `{"type": "tuning", "mac": "02:00:00:00:00:01", "args": {"cni": {"mac": ""}}}`)},
		"mac that is leased":        {config: chain(leasing("macvlan", `"args": {"cni": {"mac": "02:32:00:a8:32:08"}}`), `{"type": "tuning", "mac": "02:32:00:A8:32:08"}`)},
		"mac asked for by args":     {config: chain(leasing("bridge", `"args": {"cni": {"mac": "02:32:00:a8:32:08"}}`))},
		"other mac of tuning":       {config: chain(leasing("macvlan", `"args": {"cni": {"mac": "02:32:00:a8:32:09"}}`), `{"type": "tuning", "mac": "02:32:00:a8:32:08"}`), want: []string{"MP414"}},
		"mac capability":            {config: chain(leasing("macvlan", `"capabilities": {"mac": true}`), tuning)},
		"coordinator":               {config: chain(macvlan, `{"type": "coordinator", "podMACPrefix": "0a:1b"}`), want: []string{"MP414"}, words: []string{"podMACPrefix, 0a:1b"}},
		"coordinator, modest":       {config: chain(macvlan, `{"type": "coordinator"}`)},
		"mac of macvlan":            {config: chain(leasing("macvlan", `"mac": "02:00:00:00:00:01"`))},
		"multicast mac of macvlan":  {config: chain(leasing("macvlan", `"mac": "f1:fd:59:0b:bd:2b"`)), want: []string{"MP101"}, words: []string{"home/iot", `Remove "mac": "f1:fd:59:0b:bd:2b"`}},
		"impossible mac of macvlan": {config: chain(leasing("macvlan", `"mac": "00:00:00:00:00:00"`)), want: []string{"MP102"}, words: []string{"home/iot"}},
		"mac of bridge":             {config: chain(leasing("bridge", `"mac": "f1:fd:59:0b:bd:2b"`))},
		"no list":                   {config: `{"cniVersion": "1.0.0", "type": "macvlan", "ipam": {"type": "macpool", "pool": "iot"}}`, want: []string{"MP405"}},
		"everything at once": {
			config: listed(`{"type": "ipvlan", "master": "vlan60", "ipam": {"type": "macpool", "pool": "iot", "range": "x"}}`, `{"type": "tuning", "mac": "x", "ipam": {"type": "dhcp"}}`),
			want:   []string{"MP404", "MP411", "MP412", "MP414", "MP405", "MP413"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			nad := nadOf("iot", tc.config)
			pool := poolOn(50)
			if n, _ := Of(nad); n.Pool != pool.Name {
				pool = nil
			}
			var got, texts []string
			for _, p := range Lint(nad, pool) {
				got, texts = append(got, p.Kind.Code), append(texts, p.Error())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n%s", diff, strings.Join(texts, "\n"))
			}
			all := strings.Join(texts, "\n")
			for _, words := range tc.words {
				if !strings.Contains(all, words) {
					t.Errorf("%q does not say %q", all, words)
				}
			}
			if strings.Contains(all, "%!") {
				t.Errorf("a verb of fmt is left in %q", all)
			}
		})
	}
}

// leftBy is macvlan with macpool as its ipam, and settings that another one has left in the block.
func leftBy(settings string) string {
	return `{"type": "macvlan", "ipam": {"type": "macpool", "pool": "iot", ` + settings + `}}`
}

// What a network says of itself may be of any length; what is said of it may not.
func TestLintIsBrief(t *testing.T) {
	long := strings.Repeat("ü.60", 10000)
	for _, config := range []string{
		strings.Replace(chain(leasing("macvlan", "")), "1.0.0", long, 1),
		chain(leasing("macvlan", `"master": "`+long+`"`)),
		chain(leasing("macvlan", `"mac": "`+long+`"`), `{"type": "tuning", "mac": "`+long+`"}`),
		chain(leasing("macvlan", ""), `{"type": "`+long+`", "ipam": {"type": "`+long+`"}}`),
		chain(leasing("macvlan", ""), `{"type": "coordinator", "podMACPrefix": "`+long+`"}`),
		chain(`{"type": "macvlan", "ipam": {"type": "macpool", "pool": "` + long + `"}}`),
		chain(leasing(long, `"master": "eth0.60"`)),
	} {
		pool := poolOn(50)
		if !strings.Contains(config, `"pool": "iot"`) {
			pool = nil
		}
		problems := Lint(nadOf("iot", config), pool)
		if len(problems) == 0 {
			t.Errorf("nothing is wrong with %.200s", config)
		}
		for _, p := range problems {
			if text := p.Error(); len(text) > problem.MaxNote {
				t.Errorf("%d bytes: %.200s", len(text), text)
			}
		}
	}
}

// The sentence that says which versions to use says which are served.
func TestVersionsAreNamed(t *testing.T) {
	for _, version := range cni.Versions() {
		if !strings.Contains(problem.UnsupportedVersion.Fix, version) {
			t.Errorf("%q does not name %s", problem.UnsupportedVersion.Fix, version)
		}
		config := strings.Replace(chain(leasing("macvlan", "")), "1.0.0", version, 1)
		if problems := Lint(nadOf("iot", config), poolOn(50)); len(problems) != 0 {
			t.Errorf("%s: %v", version, problems)
		}
	}
}

func BenchmarkLint(b *testing.B) {
	nad, pool := nadOf("iot", chain(leasing("macvlan", `"master": "eth0.50", "mode": "bridge"`))), poolOn(50)
	for b.Loop() {
		if len(Lint(nad, pool)) != 0 {
			b.Fatal("something is wrong")
		}
	}
}
