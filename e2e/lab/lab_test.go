// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var isolation *Isolation

func TestMain(m *testing.M) {
	isolation = Isolate(context.Background())
	os.Exit(m.Run())
}

// newWires is a laboratory without a control plane: the switch, and nodes on it.
func newWires(t *testing.T, b Backend, names ...string) *Lab {
	t.Helper()
	dir := os.Getenv("MACPOOL_CNI_BIN")
	if dir == "" {
		t.Fatal("MACPOOL_CNI_BIN is not set: run make e2e, which sets it")
	}
	l := &Lab{Dir: isolation.Dir, Backend: b, ctx: t.Context(), opts: Options{CNI: dir, Bin: dir}}
	var err error
	if l.Switch, err = newSwitch(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, l) })
	for _, name := range names {
		n, err := l.newNode(name)
		if err != nil {
			t.Fatal(err)
		}
		if n.ns, err = newNetNS(name); err != nil {
			t.Fatal(err)
		}
		l.Nodes = append(l.Nodes, n)
		if err := l.wire(n, []int{50}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func remove(t *testing.T, l *Lab) {
	t.Helper()
	for _, n := range l.Nodes {
		if err := removeNetNS(n.ns); err != nil {
			t.Error(err)
		}
	}
	if err := removeNetNS(l.Switch.ns); err != nil {
		t.Error(err)
	}
}

func attachStatic(ctx context.Context, t *testing.T, n *Node, name string, ip netip.Prefix) *Sandbox {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: "u-" + "1"}}
	s, err := n.NewSandbox(pod)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "v", "plugins": [{"type": "macvlan", "master": "eth0.50", "mode": "bridge",
		"ipam": {"type": "static", "addresses": [{"address": %q}]}}]}`, ip)
	if _, err := s.Attach(ctx, Network{Name: "default/v", Config: config, Interface: "net1"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Remove(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestWires proves the laboratory itself, with none of macpool in it: pods on two nodes reach each other through the switch
// by every backend that this kernel has, tagged 50 where the backend tags, and nothing but pods speaks on the wire.
func TestWires(t *testing.T) {
	for _, b := range []Backend{BackendVLAN, BackendShim, BackendPlain} {
		t.Run(string(b), func(t *testing.T) {
			if err := probe(b); b != BackendPlain && err != nil {
				t.Logf("this kernel does not have it: %v", err)
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			l := newWires(t, b, "node-a", "node-b")
			capture, err := l.Nodes[0].Capture(50)
			if err != nil {
				t.Fatal(err)
			}
			one := attachStatic(ctx, t, l.Nodes[0], "one", netip.MustParsePrefix("192.168.50.11/24"))
			two := attachStatic(ctx, t, l.Nodes[1], "two", netip.MustParsePrefix("192.168.50.21/24"))
			if _, err := one.Ping(ctx, netip.MustParseAddr("192.168.50.21")); err != nil {
				t.Fatal(err)
			}
			if err := one.Attachments[0].Check(ctx); err != nil {
				t.Errorf("CHECK: %v", err)
			}
			if !two.HasLink("net1") || two.HasLink("net2") {
				t.Error("HasLink does not tell which links there are")
			}
			link, err := one.Link("net1")
			if err != nil {
				t.Fatal(err)
			}
			wantVLAN := 50
			if b == BackendPlain {
				wantVLAN = 0
			}
			assertFrames(t, capture, link.MAC, wantVLAN)
		})
	}
}

func assertFrames(t *testing.T, c *Capture, mac string, vlan int) {
	t.Helper()
	frames, err := c.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if len(frames) == 0 {
		t.Fatal("nothing was captured")
	}
	for _, f := range frames {
		if f.Source != mac || f.VLAN != vlan {
			t.Errorf("got a frame from %s with VLAN %d, want only %s with %d", f.Source, f.VLAN, mac, vlan)
		}
	}
	arp := netip.MustParseAddr("192.168.50.11")
	if !slices.ContainsFunc(frames, func(f Frame) bool { return f.Sender == arp }) {
		t.Errorf("no ARP frame of %s among %d frames", arp, len(frames))
	}
}

// TestRelay proves that cutting a node's way to the API server breaks open connections and new ones, and that it heals.
func TestRelay(t *testing.T) {
	server := echoServer(t)
	n, err := newNetNS("relay")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = removeNetNS(n) })
	r, err := newRelay(t.Context(), n, netip.MustParseAddr("127.0.0.1"), server)
	if err != nil {
		t.Fatal(err)
	}
	// A line that comes back, on a connection from within the namespace.
	dial := func() (c net.Conn) {
		t.Helper()
		err := within(n, func() (err error) {
			c, err = (&net.Dialer{}).DialContext(t.Context(), "tcp4", r.Addr())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	says := func(c net.Conn) error {
		if _, err := fmt.Fprintln(c, "hello"); err != nil {
			return err
		}
		_, err := bufio.NewReader(c).ReadString('\n')
		return err
	}
	open := dial()
	if err := says(open); err != nil {
		t.Fatalf("before the cut: %v", err)
	}
	r.Cut()
	if says(open) == nil {
		t.Error("an open connection survived the cut")
	}
	if says(dial()) == nil {
		t.Error("a new connection got through the cut")
	}
	r.Heal()
	if err := says(dial()); err != nil {
		t.Errorf("after healing: %v", err)
	}
}

func echoServer(t *testing.T) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return ln.Addr().String()
}

// TestProber counts answers: none for an address that nobody has, one for one holder, two for two, whatever their MACs. And the
// frames of the answers are seen at the ports where they come in, with their times.
func TestProber(t *testing.T) {
	for _, b := range []Backend{BackendShim, BackendPlain} {
		t.Run(string(b), func(t *testing.T) {
			if err := probe(b); b != BackendPlain && err != nil {
				t.Logf("this kernel does not have it: %v", err)
				return
			}
			l := newWires(t, b, "node-a", "node-b")
			var mu sync.Mutex
			seen := map[string]time.Time{}
			for _, n := range l.Nodes {
				_, err := n.Watch(func(f *Frame) {
					mu.Lock()
					defer mu.Unlock()
					seen[n.Name+" "+f.Source] = f.At
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			started := time.Now()
			prober, err := l.NewProber([4]byte{2, 0, 0, 0xaa})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = unix.Close(prober.fd)
				if err := removeNetNS(prober.space); err != nil {
					t.Error(err)
				}
			})
			one := attachStatic(t.Context(), t, l.Nodes[0], "one", netip.MustParsePrefix("192.168.50.11/24"))
			attachStatic(t.Context(), t, l.Nodes[0], "twice", netip.MustParsePrefix("192.168.50.12/24"))
			attachStatic(t.Context(), t, l.Nodes[1], "twice-too", netip.MustParsePrefix("192.168.50.12/24"))
			attachStatic(t.Context(), t, l.Nodes[1], "six", netip.MustParsePrefix("fd00:50::11/64"))
			want := map[string]int{"192.168.50.11": 1, "192.168.50.12": 2, "192.168.50.13": 0, "fd00:50::11": 1, "fd00:50::12": 0}
			var ips []netip.Addr
			for ip := range want {
				ips = append(ips, netip.MustParseAddr(ip))
			}
			// A kernel that still checks an IPv6 address for duplicates does not answer for it.
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
				got, err := prober.Ask(50, netip.MustParseAddr("192.168.50.250"), ips, 100*time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				counts := map[string]int{}
				for ip, macs := range got {
					counts[ip.String()] = len(macs)
				}
				if maps.Equal(counts, want) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("answers %v, want %v", got, want)
				}
			}
			link, err := one.Link("net1")
			if err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			at, ok := seen["node-a "+link.MAC]
			if !ok || at.Before(started.Add(-time.Second)) || at.After(time.Now()) {
				t.Errorf("the pod's frames were seen %v, at %s; seen: %v", ok, at, seen)
			}
			if _, ok := seen["node-b "+link.MAC]; ok {
				t.Error("they were also seen at the port of the other node")
			}
		})
	}
}

// TestWatchOutlivesCable: who watches a port hears it again after its cable was out.
func TestWatchOutlivesCable(t *testing.T) {
	l := newWires(t, BackendPlain, "node-a")
	n := l.Nodes[0]
	heard := make(chan string, 100)
	captures, err := n.Watch(func(f *Frame) {
		select {
		case heard <- f.Source:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range captures {
			if _, err := c.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	for _, do := range []func() error{n.Unplug, n.Plug} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	s := attachStatic(t.Context(), t, n, "one", netip.MustParsePrefix("192.168.50.11/24"))
	link, err := s.Link("net1")
	if err != nil {
		t.Fatal(err)
	}
	for timeout := time.After(20 * time.Second); ; {
		select {
		case mac := <-heard:
			if mac == link.MAC {
				return
			}
		case <-timeout:
			t.Fatal("nothing is heard after the cable was in again")
		}
	}
}
