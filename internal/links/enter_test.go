// SPDX-License-Identifier: Apache-2.0

package links

import (
	"net"
	"os"
	"testing"

	"github.com/macpool/macpool/internal/netnstest"
)

// An interface is changed by a socket from inside, from whichever thread, and the caller stays where it was. From outside it is refused: the
// kernel would move the interface.
func TestEnter(t *testing.T) {
	host, pod := newHost(t), netnstest.New(t)
	addLink(t, host, pod, "macvlan", leasedMAC)
	mac, err := net.ParseMAC(otherMAC)
	if err != nil {
		t.Fatal(err)
	}
	netnstest.Do(t, host, func() error {
		before, err := os.Readlink(ownPath)
		if err != nil {
			return err
		}
		outside, err := Open(pod.Path())
		if err != nil {
			return err
		}
		defer outside.Close()
		inside, err := Enter(pod.Path())
		if err != nil {
			return err
		}
		defer inside.Close()
		if after, err := os.Readlink(ownPath); after != before || err != nil {
			t.Errorf("the caller was in %s, and is in %s (%v)", before, after, err)
		}
		seen, err := outside.Link("net1")
		if err != nil {
			return err
		}
		if outside.SetMAC(seen, mac) == nil || outside.SetDown(seen) == nil {
			t.Error("it is changed from outside")
		}
		link, err := inside.Link("net1")
		if err != nil {
			return err
		}
		return inside.SetMAC(link, mac)
	})
	if got := has(t, pod); got != otherMAC {
		t.Errorf("its MAC is %q", got)
	}
	netnstest.Do(t, host, func() error {
		own, err := Enter(ownPath)
		if err != nil {
			return err
		}
		defer own.Close()
		if _, err := own.Link("eth0.50"); err != nil || !own.Own {
			t.Errorf("the caller's own: %t, %v", own.Own, err)
		}
		return nil
	})
}
