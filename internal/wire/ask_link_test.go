// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/mdlayher/ethernet"
	"github.com/vishvananda/netlink"

	"github.com/macpool/macpool/internal/netnstest"
)

// A link that cannot be asked is no silence.
func TestLinksThatCannotBeAsked(t *testing.T) {
	l := newLAN(t)
	h := l.newHost(t)
	for name, tc := range map[string]struct {
		link    string
		prepare func(t *testing.T)
		want    error
	}{
		"missing":    {link: "eth0.60", want: ErrNoLink},
		"too long":   {link: "a-name-of-more-than-15", want: ErrNoLink},
		"loopback":   {link: "lo", want: ErrNotEthernet},
		"no carrier": {link: parent, prepare: func(t *testing.T) { t.Helper(); changeLink(t, l.ns, h.port, netlink.LinkSetDown) }, want: ErrLinkDown},
		"down":       {link: parent, prepare: func(t *testing.T) { t.Helper(); h.set(t, netlink.LinkSetDown) }, want: ErrLinkDown},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.prepare != nil {
				tc.prepare(t)
			}
			eventually(t, "error", func() bool { // carrier goes a moment later
				var by string
				var err error
				netnstest.Do(t, h.ns, func() error {
					by, err = Ask(t.Context(), tc.link, query(ip4))
					return nil
				})
				if by != "" {
					t.Errorf("answered by %s", by)
				}
				return errors.Is(err, tc.want)
			})
		})
	}
}

// The link goes down, or loses its carrier, while it is asked.
func TestLinkGoesDownMeanwhile(t *testing.T) {
	for name, down := range map[string]func(*testing.T, *host){
		"down":       func(t *testing.T, h *host) { t.Helper(); h.set(t, netlink.LinkSetDown) },
		"no carrier": func(t *testing.T, h *host) { t.Helper(); changeLink(t, h.lan.ns, h.port, netlink.LinkSetDown) },
	} {
		for _, ip := range []string{ip4, ip6} {
			t.Run(name+" "+ip, func(t *testing.T) {
				h := newLAN(t).newHost(t)
				first := make(chan struct{})
				once := sync.OnceFunc(func() { close(first) })
				h.listen(t, func([]byte) { once() })
				var pull sync.WaitGroup
				pull.Go(func() {
					<-first
					down(t, h)
				})
				defer pull.Wait()
				q := query(ip)
				q.Rounds = 20
				if by, err := h.ask(t, q); by != "" || !errors.Is(err, ErrLinkDown) {
					t.Errorf("answered by %q, %v", by, err)
				}
			})
		}
	}
}

// The node's link has, of all, the leased MAC: asked from it, another holder of the MAC would not be heard, and answers to a MAC
// that the link does not have would not reach it.
func TestLinkHasTheLeasedMAC(t *testing.T) {
	for _, question := range []bool{false, true} {
		l := newLAN(t)
		asker, other := l.newHost(t), l.newHost(t)
		hw, err := net.ParseMAC(leasedMAC)
		if err != nil {
			t.Fatal(err)
		}
		asker.set(t, func(link netlink.Link) error { return netlink.LinkSetHardwareAddr(link, hw) })
		changeLink(t, l.ns, "br0", func(link netlink.Link) error { return netlink.LinkSetHardwareAddr(link, hw) })
		links := map[string]ns.NetNS{parent: asker.ns, "br0": l.ns}
		ask := func(link string, q Query) (by string, err error) {
			q.Question = question
			netnstest.Do(t, links[link], func() error {
				by, err = Ask(t.Context(), link, q)
				return nil
			})
			return by, err
		}
		for link := range links {
			if by, err := ask(link, query(ip4, ip6)); by != "" || err != nil {
				t.Errorf("%s, question %t: answered by %q, %v", link, question, by, err)
			}
		}
		for _, mac := range []string{"02:00:00:00:00:66", leasedMAC} {
			pod := other.hold(t, mac, ip4+"/24", ip6+"/64")
			for link := range links {
				if mac == leasedMAC && link == "br0" {
					continue // a bridge lets nothing in from its own MAC
				}
				for _, ip := range []string{ip4, ip6} {
					q := query(ip)
					q.Rounds = 50
					if by, err := ask(link, q); by != mac || err != nil {
						t.Errorf("%s, question %t: %s: answered by %q, %v", link, question, ip, by, err)
					}
				}
			}
			changeLink(t, pod, "net1", netlink.LinkDel)
		}
	}
}

// The node has the address on the link itself, and does not answer itself.
func TestOwnAddress(t *testing.T) {
	for _, ip := range []string{ip4 + "/24", ip6 + "/64"} {
		h := newLAN(t).newHost(t)
		addAddr(t, h.ns, parent, ip)
		if by, err := h.ask(t, query(ip4, ip6)); by != h.mac || err != nil {
			t.Errorf("%s: answered by %q, %v", ip, by, err)
		}
	}
}

// What the package says of pods of the same node: a parent does not hear its macvlans.
func TestOwnMacvlanIsNotHeard(t *testing.T) {
	h := newLAN(t).newHost(t)
	h.hold(t, leasedMAC, ip4+"/24", ip6+"/64")
	if by, err := h.ask(t, query(ip4, ip6)); by != "" || err != nil {
		t.Errorf("answered by %q, %v", by, err)
	}
}

// A bridge is asked for pods behind all its ports, those of this node included.
func TestAskOnABridge(t *testing.T) {
	l := newLAN(t)
	l.newHost(t).hold(t, leasedMAC, ip4+"/24", ip6+"/64")
	for _, ip := range []string{ip4, ip6} {
		for _, question := range []bool{false, true} {
			q := query(ip)
			q.Question, q.Rounds = question, 50
			var by string
			var err error
			netnstest.Do(t, l.ns, func() error {
				by, err = Ask(t.Context(), "br0", q)
				return nil
			})
			if by != leasedMAC || err != nil {
				t.Errorf("%s, question %t: answered by %q, %v", ip, question, by, err)
			}
		}
	}
}

// Another VLAN may have the same addresses. Where its frames reach the link with their tag, they are not this one's.
func TestOtherVLANIsNotHeard(t *testing.T) {
	l := newLAN(t)
	asker, other := l.newHost(t), l.newHost(t)
	rogue := net.HardwareAddr{0x02, 0, 0, 0, 0, 0x66}
	hears := func(vlan *ethernet.VLAN) string {
		first := make(chan struct{})
		once := sync.OnceFunc(func() { close(first) })
		asker.listen(t, func([]byte) { once() })
		ctx, cancel := context.WithCancel(t.Context())
		var announcing sync.WaitGroup
		defer announcing.Wait()
		defer cancel()
		announcing.Go(func() {
			<-first
			for ctx.Err() == nil {
				other.send(t, announcement(t, rogue, vlan))
				time.Sleep(20 * time.Millisecond)
			}
		})
		by, err := asker.ask(t, query(ip4))
		if err != nil {
			t.Error(err)
		}
		return by
	}
	if by := hears(&ethernet.VLAN{ID: 60}); by != "" {
		t.Errorf("answered by %s of VLAN 60", by)
	}
	if by := hears(nil); by != rogue.String() { // the test can tell
		t.Errorf("answered by %q", by)
	}
}
