// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

var update = flag.Bool("update", false, "write the golden results anew")

// TestDualStack attaches pods through macvlan and bridge at every CNI version (R-C1): both get the two addresses of one
// slot, the MAC that goes with it, and the result of that version, which CHECK accepts.
func TestDualStack(t *testing.T) {
	namespace(t, "dual")
	pool := newPool("dual", vlanDualStack, 1)
	pool.Spec.Subnets = []v1alpha1.Subnet{{CIDR: "192.168.53.0/24", Gateway: "192.168.53.1"}, {CIDR: "fd00:53::/64"}}
	pool.Spec.Routes = []v1alpha1.Route{{Dst: "10.0.0.0/8"}}
	createPool(t, pool)
	mains := []struct{ name, config string }{
		{"macvlan", fmt.Sprintf(`"type": "macvlan", "master": "eth0.%d", "mode": "bridge"`, vlanDualStack)},
		{"bridge", `"type": "bridge", "bridge": "br53"`},
	}
	node := cluster.Nodes[0]
	host := 20 // the last octet of the address, which each pod asks for so that the results are always the same
	for _, main := range mains {
		for _, version := range []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
			host++
			config := fmt.Sprintf(`{"cniVersion": %q, "name": "dual-%s", "plugins": [
				{%s, "ipam": {"type": "macpool", "pool": "dual"}}, {"type": "macpool"}]}`, version, main.name, main.config)
			t.Run(main.name+" "+version, func(t *testing.T) {
				pod := createPod(t, "dual", fmt.Sprintf("%s-%d", main.name, host), "", node)
				s, err := node.NewSandbox(pod)
				if err != nil {
					t.Fatal(err)
				}
				stopAtEnd(t, s)
				net := lab.Network{Name: "dual/" + main.name, Config: config, Interface: "net1", IPs: []string{fmt.Sprintf("192.168.53.%d/24", host)}}
				a, err := s.Attach(t.Context(), net)
				if err != nil {
					t.Fatal(err)
				}
				want := []netip.Prefix{
					netip.MustParsePrefix(fmt.Sprintf("192.168.53.%d/24", host)), netip.MustParsePrefix(fmt.Sprintf("fd00:53::%x/64", host)),
				}
				link := linkOf(t, s)
				if mac := fmt.Sprintf("02:35:00:a8:35:%02x", host); link.MAC != mac || !slices.Equal(link.IPs, want) {
					t.Errorf("got\n%s\nwant %s and %v", link, mac, want)
				}
				assertTruthful(t, s)
				golden(t, fmt.Sprintf("dual-%s-%s.json", main.name, version), a)
				if version != "0.3.1" { // which has no CHECK
					if err := a.Check(t.Context()); err != nil {
						t.Errorf("CHECK: %v", err)
					}
				}
			})
		}
	}
}

// golden compares the result with the stored one, without what is different every time.
func golden(t *testing.T, file string, a *lab.Attachment) {
	t.Helper()
	raw, err := json.Marshal(a.Raw)
	if err != nil {
		t.Fatal(err)
	}
	var result map[string]any
	if err := json.Unmarshal(raw, &result); err != nil {
		t.Fatal(err)
	}
	interfaces, _ := result["interfaces"].([]any)
	for _, i := range interfaces {
		if iface, ok := i.(map[string]any); ok {
			if iface["sandbox"] != nil && iface["sandbox"] != "" {
				iface["sandbox"] = "POD"
				continue
			}
			iface["mac"] = "NODE'S"
			if iface["name"] != "br53" {
				iface["name"] = "VETH"
			}
		}
	}
	got, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Error(diff)
	}
}
