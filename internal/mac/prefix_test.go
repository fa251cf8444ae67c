// SPDX-License-Identifier: Apache-2.0

package mac_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/macpool/macpool/internal/mac"
)

func TestParsePrefix(t *testing.T) {
	for in, wantError := range map[string]string{
		"02:32:00": "",
		"fe:ff:ff": "",
		"f6:00:01": "",

		"":                  "three octets in lower case",
		"02:32":             "three octets in lower case",
		"02:32:00:a8:32:08": "three octets in lower case",
		"02:32:0A":          "three octets in lower case",
		"02-32-00":          "three octets in lower case",
		"02:32-00":          "three octets in lower case",
		"2:320:00":          "three octets in lower case",
		"f1:fd:59":          "the second digit must be even",
		"03:00:00":          "the second digit must be even",
		"00:1b:21":          "2, 6, a or e",
		"fc:00:00":          "2, 6, a or e",
	} {
		p, err := mac.ParsePrefix(in)
		switch {
		case wantError == "" && (err != nil || p.String() != in):
			t.Errorf("ParsePrefix(%q) = %s, %v", in, p, err)
		case wantError != "" && (!errors.Is(err, mac.ErrPrefix) || !strings.Contains(err.Error(), wantError)):
			t.Errorf("ParsePrefix(%q): error %v, want one with %q", in, err, wantError)
		}
	}
}

// R-A7, and the decision on default prefixes: whichever the VLAN, the prefix is locally administered unicast, and its third octet is
// zero, so that it never meets what Docker and load balancers make. Two VLANs have two prefixes.
func TestDefaultPrefixOfEveryVLAN(t *testing.T) {
	seen := map[mac.Prefix]int{}
	for vlan := range 4095 {
		p := mac.DefaultPrefix(vlan)
		if err := p.Validate(); err != nil {
			t.Errorf("VLAN %d: %v", vlan, err)
		}
		if p[2] != 0 {
			t.Errorf("VLAN %d: third octet of %s is not zero", vlan, p)
		}
		if other, ok := seen[p]; ok {
			t.Errorf("VLANs %d and %d both have %s", other, vlan, p)
		}
		seen[p] = vlan
	}
	for vlan, want := range map[int]string{1: "02:01:00", 50: "02:32:00", 291: "12:23:00", 4094: "f2:fe:00"} {
		if got := mac.DefaultPrefix(vlan).String(); got != want {
			t.Errorf("VLAN %d: prefix %s, want %s", vlan, got, want)
		}
	}
}

// R-A2: the MAC is a function of the address.
func TestPrefixFor(t *testing.T) {
	p := mac.DefaultPrefix(50)
	for ip, want := range map[string]string{
		"192.168.50.8":         "02:32:00:a8:32:08",
		"10.255.255.255":       "02:32:00:ff:ff:ff",
		"::ffff:192.168.50.8":  "02:32:00:a8:32:08",
		"fd00:50::8":           "02:32:00:00:00:08",
		"fd00::1234:5678:9abc": "02:32:00:78:9a:bc",
	} {
		if got := p.For(netip.MustParseAddr(ip)).String(); got != want {
			t.Errorf("MAC of %s is %s, want %s", ip, got, want)
		}
	}
}

func FuzzParsePrefix(f *testing.F) {
	for _, s := range []string{"02:32:00", "f1:fd:59", "0a:58:0a", "02:32:0G"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := mac.ParsePrefix(s)
		if err != nil {
			return
		}
		if p.String() != s {
			t.Errorf("ParsePrefix(%q) = %s: a second spelling", s, p)
		}
		if a := p.For(netip.Addr{}); a.IsMulticast() || !a.IsLocal() { // R-A7
			t.Errorf("prefix %s makes %s", p, a)
		}
	})
}
