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
			// Again, until it is heard: the pod's kernel hears of an address only a moment after it has got it, when it begins to check it.
			q.Rounds = 1
			eventually(t, "address that the pod gives up", func() bool {
				if failed() {
					return true
				}
				_, err := asker.ask(t, q)
				return err == nil && failed()
			})
		} else if failed() {
			t.Error("the pod has given its address up for a question")
		}
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
