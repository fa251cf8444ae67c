// SPDX-License-Identifier: Apache-2.0

package mac_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/macpool/macpool/internal/mac"
)

func TestNewRange(t *testing.T) {
	for name, c := range map[string]struct {
		from, to string
		want     string
		wantErr  error
	}{
		"two ends":      {from: "192.168.50.9", to: "192.168.50.30", want: "192.168.50.9-192.168.50.30"},
		"as numbers":    {from: "192.168.50.9", to: "192.168.50.10", want: "192.168.50.9-192.168.50.10"}, // not as strings
		"one address":   {from: "192.168.50.9", to: "192.168.50.9", want: "192.168.50.9"},
		"no last":       {from: "fd00::9", want: "fd00::9"},
		"IPv6":          {from: "fd00::9", to: "fd00::10", want: "fd00::9-fd00::10"},
		"inverted":      {from: "192.168.50.10", to: "192.168.50.9", wantErr: mac.ErrInverted},
		"inverted IPv6": {from: "fd00::10", to: "fd00::9", wantErr: mac.ErrInverted},
		"mixed":         {from: "192.168.50.9", to: "fd00::10", wantErr: mac.ErrMixedFamilies},
		"mixed, down":   {from: "fd00::10", to: "192.168.50.9", wantErr: mac.ErrMixedFamilies},
		"nothing":       {wantErr: mac.ErrBadAddress},
		"zone":          {from: "fe80::1%eth0", wantErr: mac.ErrBadAddress},
		"mapped":        {from: "::ffff:10.0.0.1", to: "::ffff:10.0.0.2", wantErr: mac.ErrBadAddress},
		"mapped end":    {from: "10.0.0.1", to: "::ffff:10.0.0.2", wantErr: mac.ErrBadAddress},
	} {
		r, err := mac.NewRange(ip(t, c.from), ip(t, c.to))
		if !errors.Is(err, c.wantErr) {
			t.Errorf("%s: error %v, want %v", name, err, c.wantErr)
		}
		if err == nil && r.String() != c.want {
			t.Errorf("%s: %s, want %s", name, r, c.want)
		}
	}
}

func TestRangeContains(t *testing.T) {
	r := newRange(t, "192.168.50.9", "192.168.50.30")
	v6 := newRange(t, "fe80::1", "fe80::ff")
	for _, c := range []struct {
		r    mac.Range
		ip   string
		want bool
	}{
		{r, "192.168.50.8", false},
		{r, "192.168.50.9", true},
		{r, "192.168.50.30", true},
		{r, "192.168.50.31", false},
		{r, "fd00::9", false},
		{r, "::ffff:192.168.50.9", false},
		{r, "", false},
		{v6, "fe80::80", true},
		{v6, "fe80::80%eth0", false},
		{v6, "192.168.50.9", false},
		{mac.Range{}, "192.168.50.9", false},
		{mac.Range{}, "", false},
	} {
		if got := c.r.Contains(ip(t, c.ip)); got != c.want {
			t.Errorf("%s contains %q: %t, want %t", c.r, c.ip, got, c.want)
		}
	}
}

// The relations of two ranges, all of them: apart, touching, meeting in one address, overlapping, one in the other, equal; in both
// directions.
func TestRangeOverlaps(t *testing.T) {
	r := newRange(t, "10.0.0.10", "10.0.0.20")
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"10.0.0.1", "10.0.0.8", false},
		{"10.0.0.1", "10.0.0.9", false},
		{"10.0.0.1", "10.0.0.10", true},
		{"10.0.0.1", "10.0.0.15", true},
		{"10.0.0.12", "10.0.0.18", true},
		{"10.0.0.10", "10.0.0.20", true},
		{"10.0.0.1", "10.0.0.30", true},
		{"10.0.0.15", "10.0.0.30", true},
		{"10.0.0.20", "10.0.0.30", true},
		{"10.0.0.21", "10.0.0.30", false},
		{"10.0.0.22", "10.0.0.30", false},
		{"::1", "ffff::1", false},
	} {
		o := newRange(t, c.from, c.to)
		if r.Overlaps(o) != c.want || o.Overlaps(r) != c.want {
			t.Errorf("%s and %s overlap: %t, %t, want %t", r, o, r.Overlaps(o), o.Overlaps(r), c.want)
		}
	}
	if none := (mac.Range{}); none.Overlaps(r) || r.Overlaps(none) || none.Overlaps(none) {
		t.Error("the zero range overlaps")
	}
}

func FuzzRange(f *testing.F) {
	f.Add([]byte{10, 0, 0, 1}, []byte{10, 0, 0, 9}, []byte{10, 0, 0, 5})
	f.Add([]byte{10, 0, 0, 9}, []byte{10, 0, 0, 1}, []byte{10, 0, 0, 5})
	f.Add([]byte{10, 0, 0, 9}, []byte{}, make([]byte, 16))
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		from, _ := netip.AddrFromSlice(a)
		to, _ := netip.AddrFromSlice(b)
		x, _ := netip.AddrFromSlice(c)
		r, err := mac.NewRange(from, to)
		if err != nil {
			return
		}
		if !r.Contains(r.From) || !r.Contains(r.To) || !r.Overlaps(r) {
			t.Errorf("%s does not contain its ends", r)
		}
		if single, err := mac.NewRange(x, netip.Addr{}); err == nil && single.Overlaps(r) != r.Contains(x) {
			t.Errorf("%s contains %s: %t, but overlaps it: %t", r, x, r.Contains(x), single.Overlaps(r))
		}
	})
}

func ip(t *testing.T, s string) netip.Addr {
	t.Helper()
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newRange(t *testing.T, from, to string) mac.Range {
	t.Helper()
	r, err := mac.NewRange(ip(t, from), ip(t, to))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
