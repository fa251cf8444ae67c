// SPDX-License-Identifier: Apache-2.0

package mac_test

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/macpool/macpool/internal/mac"
)

// subdomain is what the API server takes as the name of an object (RFC 1123).
var subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

func TestName(t *testing.T) {
	long := strings.Repeat("a", 63)
	for want, n := range map[string]mac.Name{
		"vlan-50.192.168.50.8":                            {Segment: "vlan-50", Addr: netip.MustParseAddr("192.168.50.8")},
		"vlan-50.fd00-0050-0000-0000-0000-0000-0000-0008": {Segment: "vlan-50", Addr: netip.MustParseAddr("fd00:50::8")},
		"a.0000-0000-0000-0000-0000-0000-0000-0001":       {Segment: "a", Addr: netip.MustParseAddr("::1")},
		"0.0000-0000-0000-0000-0000-0000-0000-0000":       {Segment: "0", Addr: netip.IPv6Unspecified()},
		"192.192.168.50.8":                                {Segment: "192", Addr: netip.MustParseAddr("192.168.50.8")},
		long + ".fd00-0050-0000-0000-0000-0000-0000-0008": {Segment: long, Addr: netip.MustParseAddr("fd00:50::8")},
	} {
		checkName(t, n)
		if got := n.String(); got != want {
			t.Errorf("%+v is named %s, want %s", n, got, want)
		}
	}
}

// An IPv4-mapped address is the IPv4 address, and must be locked by its name.
func TestNameOfAMappedAddress(t *testing.T) {
	n := mac.Name{Segment: "vlan-50", Addr: netip.MustParseAddr("::ffff:192.168.50.8")}
	if got, want := n.String(), "vlan-50.192.168.50.8"; got != want {
		t.Errorf("name %s, want %s", got, want)
	}
}

func TestParseNameRefusesOtherSpellings(t *testing.T) {
	for _, s := range []string{
		"", ".", "vlan-50", "vlan-50.", ".192.168.50.8",
		"vlan-50.192.168.50", "vlan-50.192.168.50.8.9", "vlan-50.192.168.050.8", "vlan-50.192.168.50.256", "vlan-50.192-168-50-8",
		"VLAN-50.192.168.50.8", "-a.192.168.50.8", "a-.192.168.50.8", "a_b.192.168.50.8", strings.Repeat("a", 64) + ".192.168.50.8",
		"a.b.192.168.50.8",
		"vlan-50.fd00:50::8", "vlan-50.fd00-50--8", "vlan-50.::1", "vlan-50.--1",
		"vlan-50.FD00-0050-0000-0000-0000-0000-0000-0008",
		"vlan-50.fd00:0050:0000:0000:0000:0000:0000:0008",
		"vlan-50.fd00-0050-0000-0000-0000-0000-0000:0008",
		"vlan-50.fd00-0050-0000-0000-0000-0000-00000-008",
		"vlan-50.0000-0000-0000-0000-0000-ffff-c0a8-3208", // 192.168.50.8 again
		"vlan-50.fe80-0000-0000-0000-0000-0000-0000-0001%1",
		"vlan-50.02:32:00:a8:32:08",
	} {
		if n, err := mac.ParseName(s); !errors.Is(err, mac.ErrName) {
			t.Errorf("ParseName(%q) = %+v, %v, want ErrName", s, n, err)
		}
	}
}

// FuzzParseName : String(ParseName(s)) == s, so that no address has two names.
func FuzzParseName(f *testing.F) {
	for _, s := range []string{"vlan-50.192.168.50.8", "vlan-50.fd00-0050-0000-0000-0000-0000-0000-0008", "a.::1", "a.b.1.2.3.4", "x.--1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := mac.ParseName(s)
		if err != nil {
			return
		}
		if n.String() != s {
			t.Errorf("ParseName(%q) is named %q", s, n)
		}
		checkName(t, n)
	})
}

// FuzzName : ParseName(n.String()) == n, so that no two addresses have one name.
func FuzzName(f *testing.F) {
	f.Add("vlan-50", []byte{192, 168, 50, 8})
	f.Add("a", make([]byte, 16))
	f.Fuzz(func(t *testing.T, segment string, b []byte) {
		addr, ok := netip.AddrFromSlice(b)
		if !ok || addr.Is4In6() || !mac.IsLabel(segment) {
			return
		}
		checkName(t, mac.Name{Segment: segment, Addr: addr})
	})
}

func checkName(t *testing.T, n mac.Name) {
	t.Helper()
	s := n.String()
	if !subdomain.MatchString(s) || len(s) > 253 {
		t.Errorf("%q is no name for an object", s)
	}
	if back, err := mac.ParseName(s); err != nil || back != n {
		t.Errorf("ParseName(%q) = %+v, %v, want %+v", s, back, err, n)
	}
}
