// SPDX-License-Identifier: Apache-2.0

package mac_test

import (
	"testing"

	"github.com/macpool/macpool/internal/mac"
)

// A name is an address's or a MAC's, never both: one object would lock two things.
func FuzzLockName(f *testing.F) {
	for _, seed := range []string{
		"vlan-50.00-1b-21-a8-32-08", "vlan-50.192.168.50.8", "vlan-50.fd00-0050-0000-0000-0000-0000-0000-0008", "a.00:1b:21:a8:32:08",
		"a.001b.21a8.3208", "a.00-1B-21-a8-32-08", "a.00-1b-21-a8-32-08-00-00", ".00-1b-21-a8-32-08", "a.", "00-1b-21-a8-32-08", "a.b.00-1b-21-a8-32-08",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		segment, a, ok := mac.ParseLockName(name)
		if !ok {
			return
		}
		if again := mac.LockName(segment, a); again != name {
			t.Errorf("%q is read as what is called %q", name, again)
		}
		if n, ok := mac.ParseMACName(name); !ok || !n.IsMAC() || n.String() != name {
			t.Errorf("%q as the name of a MAC's lease is %q, %t", name, n, ok)
		}
		if _, err := mac.ParseName(name); err == nil {
			t.Errorf("%q is the name of an address, too", name)
		}
	})
}

func TestParseLockName(t *testing.T) {
	segment, a, ok := mac.ParseLockName("vlan-50.00-1b-21-a8-32-08")
	if want := (mac.Addr{0, 0x1b, 0x21, 0xa8, 0x32, 8}); !ok || segment != "vlan-50" || a != want {
		t.Errorf("got %q, %s, %t", segment, a, ok)
	}
	for _, name := range []string{"vlan-50.192.168.50.8", "vlan-50", "VLAN.00-1b-21-a8-32-08", "a.00:1b:21:a8:32:08", "a.00-1B-21-A8-32-08", "a.00-1b-21-a8-32-08-00-00"} {
		if _, _, ok := mac.ParseLockName(name); ok {
			t.Errorf("%q is taken for the lock of a MAC", name)
		}
	}
}
