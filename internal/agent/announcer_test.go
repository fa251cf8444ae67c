// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/go-logr/logr/testr"
	"github.com/vishvananda/netlink"
	"k8s.io/utils/clock"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/links"
	"github.com/macpool/macpool/internal/netnstest"
	"github.com/macpool/macpool/internal/wire"
)

const (
	announcedMAC = "02:32:00:a8:32:08"
	announcedIP4 = "192.168.50.8"
	announcedIP6 = "fd00:50::8"
)

// newTestAnnouncer is an announcer whose journal has one attached interface.
func newTestAnnouncer(t *testing.T, netns string, ips ...string) (*announcer, *attempt) {
	t.Helper()
	log := testr.NewWithOptions(t, testr.Options{Verbosity: 1})
	j, err := openJournal(t.TempDir(), clock.RealClock{}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.close() })
	entry := attempt{
		ContainerID: "c1", Interface: "net1", NetNS: netns, Link: vlanLink, Pool: "iot",
		Claim: agentapi.ClaimRef{Namespace: "home", Name: "db-0.iot.net1"}, Pod: agentapi.Pod{Namespace: "home", Name: "db-0", UID: "u-1"},
		Lease: &agentapi.Lease{Name: "vlan-50." + announcedIP4, MAC: announcedMAC},
	}
	for _, ip := range ips {
		entry.Lease.IPs = append(entry.Lease.IPs, agentapi.IP{Address: netip.MustParsePrefix(ip)})
	}
	if _, err := j.attach(entry); err != nil {
		t.Fatal(err)
	}
	a := &Agent{
		clock: clock.RealClock{}, log: log, journal: j, look: links.Look, netnsAlive: func(path string) bool { return path != goneNetNS },
	}
	return newAnnouncer(a, nil), &entry
}

// announced counts what is announced.
type announced struct {
	mu   sync.Mutex
	told map[string]int
}

func (a *announced) tell(_ string, ip netip.Addr, mac string) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told[ip.String()+" "+mac]++
	return true, nil
}

// R-C16: nothing is announced before the interface is up with the leased MAC, an IPv6 address not before its kernel has checked it; then
// each three times.
func TestAnnouncer(t *testing.T) {
	n, entry := newTestAnnouncer(t, "somewhere", announcedIP4+"/24", announcedIP6+"/64")
	told := &announced{told: map[string]int{}}
	n.announce = told.tell
	looks := 0
	n.look = func(string, string) (links.State, error) {
		looks++
		switch {
		case looks < 2: // the wrapper's delegate makes it after the answer
			return links.State{}, nil
		case looks < 3:
			return links.State{MAC: "02:00:00:00:00:01"}, nil
		case looks < 5:
			return links.State{MAC: announcedMAC}, nil
		default:
			return links.State{MAC: announcedMAC, Up: true}, nil
		}
	}
	n.checked = func(string, string, netip.Addr) (bool, error) {
		if told.told[announcedIP4+" "+announcedMAC] == 0 {
			return false, nil
		}
		return looks > 5, nil
	}
	n.serve(t.Context(), entry)
	want := map[string]int{announcedIP4 + " " + announcedMAC: announcements, announcedIP6 + " " + announcedMAC: announcements}
	if fmt.Sprint(told.told) != fmt.Sprint(want) || n.total.Load() != 2*announcements {
		t.Errorf("announced %v, want %v", told.told, want)
	}
}

// goneAfter is an interface that is not there any more after some looks.
func goneAfter(looks int) func(string, string) (links.State, error) {
	return func(string, string) (links.State, error) {
		if looks--; looks >= 0 {
			return links.State{MAC: announcedMAC}, nil
		}
		return links.State{}, nil
	}
}

// What is gone, or is not to be announced there, is left alone; a link that is down for a moment is tried again.
func TestAnnouncerGivesUp(t *testing.T) {
	up := func(string, string) (links.State, error) { return links.State{MAC: announcedMAC, Up: true}, nil }
	for name, tc := range map[string]struct {
		look func(string, string) (links.State, error)
		tell func(times int) (bool, error)
		want int64
		// netns is somewhere that is there, unless it is set.
		netns string
	}{
		"the interface is gone":    {look: goneAfter(1)},
		"its namespace is gone":    {look: goneAfter(0), netns: goneNetNS},
		"it cannot be looked at":   {look: func(string, string) (links.State, error) { return links.State{}, errors.New("not permitted") }},
		"not to be announced":      {look: up, tell: func(int) (bool, error) { return false, nil }},
		"the link was down before": {look: up, tell: func(times int) (bool, error) { return true, map[bool]error{true: wire.ErrLinkDown}[times < 2] }, want: announcements},
	} {
		t.Run(name, func(t *testing.T) {
			n, entry := newTestAnnouncer(t, cmp.Or(tc.netns, "somewhere"), announcedIP4+"/24")
			n.look = tc.look
			times := 0
			n.announce = func(string, netip.Addr, string) (bool, error) {
				times++
				return tc.tell(times)
			}
			n.serve(t.Context(), entry)
			if got := n.total.Load(); got != tc.want {
				t.Errorf("announced %d times, want %d", got, tc.want)
			}
		})
	}
	t.Run("detached", func(t *testing.T) {
		n, entry := newTestAnnouncer(t, "somewhere", announcedIP4+"/24")
		told := &announced{told: map[string]int{}}
		n.look, n.announce = up, func(link string, ip netip.Addr, mac string) (bool, error) {
			if _, err := n.journal.detach(entry.key()); err != nil {
				t.Error(err)
			}
			return told.tell(link, ip, mac)
		}
		n.serve(t.Context(), entry)
		if got := n.total.Load(); got != 1 {
			t.Errorf("announced %d times, want once", got)
		}
	})
}

// R-C16 on the wire: a pod's macvlan comes up on a node's link, and a neighbour on the VLAN hears the address three times from the leased
// MAC, in IPv4 and IPv6, and from no other.
func TestAnnouncementsOnTheWire(t *testing.T) {
	node, pod, neighbour := netnstest.New(t), netnstest.New(t), netnstest.New(t)
	n, entry := newTestAnnouncer(t, pod.Path(), announcedIP4+"/24", announcedIP6+"/64")
	mac, err := net.ParseMAC(announcedMAC)
	if err != nil {
		t.Fatal(err)
	}
	netnstest.Do(t, node, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = vlanLink
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(neighbour.Fd()))}); err != nil {
			return err
		}
		link, err := netlinksafe.LinkByName(vlanLink)
		if err != nil {
			return err
		}
		pods := netlink.NewLinkAttrs()
		pods.Name, pods.ParentIndex, pods.HardwareAddr, pods.Namespace = "net1", link.Attrs().Index, mac, netlink.NsFd(int(pod.Fd()))
		if err := netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: pods, Mode: netlink.MACVLAN_MODE_BRIDGE}); err != nil {
			return err
		}
		return netlink.LinkSetUp(link)
	})
	netnstest.Do(t, neighbour, func() error {
		link, err := netlinksafe.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(link)
	})
	var listener *wire.Listener
	eventually(t, "carrier", func() error {
		var err error
		netnstest.Do(t, neighbour, func() error {
			listener, err = wire.NewListener("eth0")
			return nil
		})
		return err
	})
	var mu sync.Mutex
	heard := map[wire.Heard]int{}
	var listening sync.WaitGroup
	listening.Go(func() {
		_ = listener.Run(func(h wire.Heard) {
			mu.Lock()
			defer mu.Unlock()
			heard[h]++
		})
	})
	t.Cleanup(func() {
		listener.Close()
		listening.Wait()
	})

	up := make(chan struct{})
	go func() { // the main plugin, after its IPAM has answered
		defer close(up)
		err := pod.Do(func(ns.NetNS) error {
			for _, quiet := range []string{"ipv4/conf/net1/arp_notify", "ipv6/conf/net1/ndisc_notify"} { // what is heard is the agent's
				if err := os.WriteFile("/proc/sys/net/"+quiet, []byte("0"), 0o600); err != nil {
					return err
				}
			}
			link, err := netlinksafe.LinkByName("net1")
			if err != nil {
				return err
			}
			for _, ip := range entry.Lease.IPs {
				addr, err := netlink.ParseAddr(ip.Address.String())
				if err != nil {
					return err
				}
				if err := netlink.AddrAdd(link, addr); err != nil {
					return err
				}
			}
			time.Sleep(50 * time.Millisecond) // the agent looks at it while it is down
			return netlink.LinkSetUp(link)
		})
		if err != nil {
			t.Error(err)
		}
	}()
	netnstest.Do(t, node, func() error {
		n.serve(t.Context(), entry)
		return nil
	})
	<-up
	for _, ip := range []string{announcedIP4, announcedIP6} {
		want := wire.Heard{IP: netip.MustParseAddr(ip), MAC: announcedMAC}
		eventually(t, "three announcements of "+ip, func() error {
			mu.Lock()
			defer mu.Unlock()
			if heard[want] != announcements {
				return fmt.Errorf("heard %v", heard)
			}
			return nil
		})
	}
	mu.Lock()
	defer mu.Unlock()
	for h := range heard {
		if !h.IP.IsLinkLocalUnicast() && h.MAC != announcedMAC {
			t.Errorf("heard %+v", h)
		}
	}
}
