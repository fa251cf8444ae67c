// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/netnstest"
)

const (
	leasedMAC = "02:32:00:a8:32:08"
	ip4, ip6  = "192.168.50.8", "fd00:50::8"
)

func query(ips ...string) Query {
	q := Query{MAC: leasedMAC}
	for _, ip := range ips {
		q.IPs = append(q.IPs, netip.MustParseAddr(ip))
	}
	return q
}

// R-G4, R-G5, R-L1: whoever has one of the addresses is heard, with the leased MAC or with another, as a probe and as a question.
func TestHolderIsHeard(t *testing.T) {
	const rogueMAC = "02:00:00:00:00:66"
	l := newLAN(t)
	asker := l.newHost(t)
	for name, tc := range map[string]struct {
		mac   string
		holds []string
		ask   []string
	}{
		"IPv4":              {mac: leasedMAC, holds: []string{ip4 + "/24"}, ask: []string{ip4}},
		"IPv6":              {mac: leasedMAC, holds: []string{ip6 + "/64"}, ask: []string{ip6}},
		"both":              {mac: leasedMAC, holds: []string{ip4 + "/24", ip6 + "/64"}, ask: []string{ip4, ip6}},
		"IPv4 of both":      {mac: leasedMAC, holds: []string{ip4 + "/24"}, ask: []string{ip4, ip6}},
		"IPv6 of both":      {mac: leasedMAC, holds: []string{ip6 + "/64"}, ask: []string{ip4, ip6}},
		"other MAC, IPv4":   {mac: rogueMAC, holds: []string{ip4 + "/24"}, ask: []string{ip4}},
		"other MAC, IPv6":   {mac: rogueMAC, holds: []string{ip6 + "/64"}, ask: []string{ip6}},
		"other subnet":      {mac: leasedMAC, holds: []string{ip4 + "/16"}, ask: []string{ip4}},
		"mapped into IPv6":  {mac: leasedMAC, holds: []string{ip4 + "/24"}, ask: []string{"::ffff:" + ip4}},
		"one address of it": {mac: rogueMAC, holds: []string{"192.168.50.9/24", ip4 + "/24"}, ask: []string{ip4}},
	} {
		t.Run(name, func(t *testing.T) {
			l.newHost(t).hold(t, tc.mac, tc.holds...)
			for _, question := range []bool{false, true} {
				q := query(tc.ask...)
				q.Question, q.Rounds = question, 50 // it ends with the answer; a machine that is busy has its time
				if by, err := asker.ask(t, q); by != tc.mac || err != nil {
					t.Errorf("question %t: answered by %q, %v; want %s", question, by, err, tc.mac)
				}
			}
		})
	}
}

// probes are the ARP probes among the frames that a host sends.
type probes struct {
	mu   sync.Mutex
	seen []arp.Packet
}

func (p *probes) take(b []byte) {
	var f ethernet.Frame
	var a arp.Packet
	if f.UnmarshalBinary(b) == nil && f.EtherType == ethernet.EtherTypeARP && a.UnmarshalBinary(f.Payload) == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.seen = append(p.seen, a)
	}
}

func (p *probes) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.seen)
}

// R-L1: silence takes at least three probes from the link's own MAC and from no address, and the time to answer the last one.
func TestSilence(t *testing.T) {
	l := newLAN(t)
	asker, other := l.newHost(t), l.newHost(t)
	other.hold(t, "02:32:00:a8:32:09", "192.168.50.9/24", "fd00:50::9/64") // a neighbour that is not asked for
	for _, question := range []bool{false, true} {
		var sent probes
		asker.listen(t, sent.take)
		q := query(ip4, ip6)
		q.Question = question
		start := time.Now()
		if by, err := asker.ask(t, q); by != "" || err != nil {
			t.Fatalf("answered by %q, %v", by, err)
		}
		if took := time.Since(start); took < 600*time.Millisecond {
			t.Errorf("three rounds took %s", took)
		}
		eventually(t, "three probes", func() bool { return sent.count() >= 3 })
		for _, p := range sent.seen {
			if p.Operation != arp.OperationRequest || p.SenderIP != netip.IPv4Unspecified() || p.TargetIP.String() != ip4 ||
				p.SenderHardwareAddr.String() != asker.mac {
				t.Errorf("sent %+v", p)
			}
		}
		if n := sent.count(); n != 3 {
			t.Errorf("sent %d probes", n)
		}
	}
}

// F33: the first probe is lost, its holder answers the second.
func TestAnswerInALaterRound(t *testing.T) {
	l := newLAN(t)
	asker, other := l.newHost(t), l.newHost(t)
	other.hold(t, leasedMAC, ip4+"/24")
	port := func(change func(netlink.Link) error) { changeLink(t, l.ns, other.port, change) }
	port(netlink.LinkSetDown)
	var sent probes
	first := make(chan struct{})
	asker.listen(t, func(b []byte) {
		sent.take(b)
		if sent.count() == 1 {
			close(first)
		}
	})
	var plug sync.WaitGroup
	plug.Go(func() {
		<-first
		port(netlink.LinkSetUp)
	})
	defer plug.Wait()
	q := query(ip4)
	q.Rounds = 100
	if by, err := asker.ask(t, q); by != leasedMAC || err != nil {
		t.Fatalf("answered by %q, %v", by, err)
	}
	if n := sent.count(); n < 2 {
		t.Errorf("answered after %d probes", n)
	}
}

// R-L1, F32: of two that probe for one address at the same time at least one hears the other, so that at most one may have it. Two
// questions at the same time do not, and neither does a probe hear a question.
func TestTwoAskAtOnce(t *testing.T) {
	type outcome struct {
		by, other string
		err       error
	}
	probes := func(o outcome) bool { return o.by == o.other }
	for name, tc := range map[string]struct {
		first, second bool // are questions
		want          func(first, second outcome) bool
	}{
		"two probes":               {want: func(a, b outcome) bool { return probes(a) || probes(b) }},
		"two questions":            {first: true, second: true, want: func(a, b outcome) bool { return a.by == "" && b.by == "" }},
		"a question, then a probe": {first: true, want: func(a, b outcome) bool { return probes(a) && b.by == "" }},
		"a probe, then a question": {second: true, want: func(a, b outcome) bool { return a.by == "" && probes(b) }},
	} {
		for _, ip := range []string{ip4, ip6} {
			t.Run(name+" "+ip, func(t *testing.T) {
				t.Parallel()
				l := newLAN(t)
				a, b := l.newHost(t), l.newHost(t)
				first, second := outcome{other: b.mac}, outcome{other: a.mac}
				var asking sync.WaitGroup
				defer asking.Wait()
				ask := func(h *host, question bool, o *outcome) {
					q := query(ip)
					q.Question, q.Rounds = question, 6
					o.by, o.err = h.ask(t, q)
				}
				started := make(chan struct{})
				once := sync.OnceFunc(func() { close(started) })
				a.listen(t, func([]byte) { once() })
				asking.Go(func() { ask(a, tc.first, &first) })
				<-started
				ask(b, tc.second, &second)
				asking.Wait()
				if first.err != nil || second.err != nil || !tc.want(first, second) {
					t.Errorf("the first: %+v, the second: %+v", first, second)
				}
			})
		}
	}
}

// A pod that is getting an IPv6 address checks that nobody has it. It is heard, and a question does not make it give up, as a probe does.
func TestQuestionDoesNotDisturb(t *testing.T) {
	for _, question := range []bool{true, false} {
		l := newLAN(t)
		asker := l.newHost(t)
		pod := l.newHost(t).hold(t, leasedMAC)
		netnstest.Do(t, pod, func() error {
			for key, value := range map[string]string{"disable_ipv6": "0", "dad_transmits": "1000", "accept_dad": "1"} {
				if err := os.WriteFile("/proc/sys/net/ipv6/conf/net1/"+key, []byte(value), 0o600); err != nil {
					return err
				}
			}
			return nil
		})
		changeLink(t, pod, "net1", func(link netlink.Link) error {
			return netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(ip6), Mask: net.CIDRMask(64, 128)}})
		})
		q := query(ip6)
		q.Question, q.Rounds = question, 50
		if by, err := asker.ask(t, q); by != leasedMAC || err != nil {
			t.Errorf("question %t: answered by %q, %v", question, by, err)
		}
		failed := func() (failed bool) {
			changeLink(t, pod, "net1", func(link netlink.Link) error {
				addrs, err := netlink.AddrList(link, netlink.FAMILY_V6)
				for _, a := range addrs {
					failed = failed || a.IP.String() == ip6 && a.Flags&unix.IFA_F_DADFAILED != 0
				}
				return err
			})
			return failed
		}
		if !question {
			eventually(t, "address that the pod gives up", failed)
		} else if failed() {
			t.Error("the pod has given its address up for a question")
		}
	}
}

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

func TestAskIsCutShort(t *testing.T) {
	h := newLAN(t).newHost(t)
	why := errors.New("nobody waits any more")
	ctx, cancel := context.WithCancelCause(t.Context())
	h.listen(t, func([]byte) { cancel(why) })
	var err error
	netnstest.Do(t, h.ns, func() error {
		q := query(ip4)
		q.Rounds = 1000
		_, err = Ask(ctx, parent, q)
		return nil
	})
	if !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestQueryThatAsksNothing(t *testing.T) {
	h := newLAN(t).newHost(t)
	for _, q := range []Query{{MAC: leasedMAC}, {IPs: query(ip4).IPs}, {IPs: query(ip4).IPs, MAC: "02:32"}, {IPs: []netip.Addr{{}}, MAC: leasedMAC}} {
		if by, err := h.ask(t, q); by != "" || err == nil {
			t.Errorf("%+v: answered by %q, %v", q, by, err)
		}
	}
}
