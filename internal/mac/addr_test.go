// SPDX-License-Identifier: Apache-2.0

package mac_test

import (
	"net"
	"strings"
	"testing"

	"github.com/macpool/macpool/internal/mac"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"02:32:00:a8:32:08": "02:32:00:a8:32:08",
		"02:32:00:A8:32:08": "02:32:00:a8:32:08",
		"02-32-00-a8-32-08": "02:32:00:a8:32:08",
		"0232.00a8.3208":    "02:32:00:a8:32:08",
		"023200a83208":      "02:32:00:a8:32:08",
		"f1:fd:59:0b:bd:2b": "f1:fd:59:0b:bd:2b", // impossible, but an address: what to say of it is the caller's
		"00:00:00:00:00:00": "00:00:00:00:00:00",

		"":                        "",
		"02:32:00:a8:32":          "",
		"02:32:00:a8:32:08:00":    "",
		"02:32:00:a8:32:08:00:01": "", // EUI-64, which net.ParseMAC takes
		"00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01": "", // InfiniBand
		"2:32:0:a8:32:8":     "",
		"02:32:00: a8:32:08": "",
		"02:32:00:a8:32:0g":  "",
	} {
		got, err := mac.Parse(in)
		if want == "" {
			if err == nil {
				t.Errorf("Parse(%q) = %s, want an error", in, got)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("Parse(%q) = %s, %v, want %s", in, got, err, want)
		}
	}
}

func TestAddrBits(t *testing.T) {
	for in, want := range map[string]struct {
		multicast, local, zero bool
		nearest                string
	}{
		"f1:fd:59:0b:bd:2b": {multicast: true, nearest: "f2:fd:59:0b:bd:2b"}, // the founding case
		"e7:d1:44:8d:65:b0": {multicast: true, local: true, nearest: "e6:d1:44:8d:65:b0"},
		"02:32:00:a8:32:08": {local: true, nearest: "02:32:00:a8:32:08"},
		"00:1b:21:00:00:01": {nearest: "02:1b:21:00:00:01"},
		"00:00:00:00:00:00": {zero: true, nearest: "02:00:00:00:00:00"},
		"ff:ff:ff:ff:ff:ff": {multicast: true, local: true, nearest: "fe:ff:ff:ff:ff:ff"},
	} {
		a := parse(t, in)
		if a.IsMulticast() != want.multicast || a.IsLocal() != want.local || a.IsZero() != want.zero {
			t.Errorf("%s: multicast %t, local %t, zero %t, want %+v", in, a.IsMulticast(), a.IsLocal(), a.IsZero(), want)
		}
		if got := a.Nearest().String(); got != want.nearest {
			t.Errorf("%s: nearest %s, want %s", in, got, want.nearest)
		}
	}
}

func TestHardwareAddrIsACopy(t *testing.T) {
	a := parse(t, "02:32:00:a8:32:08")
	a.HardwareAddr()[0] = 0xff
	if a != parse(t, "02:32:00:a8:32:08") {
		t.Errorf("writing to the slice changed the address to %s", a)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"02:32:00:a8:32:08", "0232.00a8.3208", "F1-FD-59-0B-BD-2B", "02:32:00:a8:32:08:00:01", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := mac.Parse(s)
		if err != nil {
			return
		}
		if want, err := net.ParseMAC(s); err != nil || want.String() != a.String() {
			t.Errorf("Parse(%q) = %s, but net says %s, %v", s, a, want, err)
		}
		if a.String() != strings.ToLower(a.String()) {
			t.Errorf("%s is not lower case", a)
		}
		if again := parse(t, a.String()); again != a {
			t.Errorf("Parse(%q) = %s, which parses as %s", s, a, again)
		}
		if n := a.Nearest(); n.IsMulticast() || !n.IsLocal() || n.Nearest() != n {
			t.Errorf("nearest of %s is %s", a, n)
		}
	})
}

func parse(t *testing.T, s string) mac.Addr {
	t.Helper()
	a, err := mac.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
