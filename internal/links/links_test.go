// SPDX-License-Identifier: Apache-2.0

package links

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/netnstest"
	"github.com/macpool/macpool/internal/privtest"
)

const (
	leasedMAC = "02:32:00:a8:32:08"
	otherMAC  = "02:32:00:a8:32:09"
)

func TestMain(m *testing.M) {
	privtest.Main(m, map[string]privtest.Role{"remove": {Keep: unix.CAP_NET_ADMIN, Do: removeUnprivileged}})
}

// removeUnprivileged looks at the interface and removes it, where the namespace cannot be entered.
func removeUnprivileged(args []string) error {
	netns, iface, mac := args[0], args[1], args[2]
	file, err := os.Open(netns)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	runtime.LockOSThread()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("entering the namespace is not refused: %w", err)
	}
	if has, err := MAC(netns, iface); err != nil || has != mac {
		return fmt.Errorf("its MAC is %q, %w", has, err)
	}
	return Remove(netns, iface, mac)
}

// newHost is a node with a link to its VLAN.
func newHost(t *testing.T) ns.NetNS {
	t.Helper()
	host := netnstest.New(t)
	netnstest.Do(t, host, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "eth0.50"
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "switch"})
	})
	return host
}

// kinds make a pod's net1, which hangs on the node, each in its way.
var kinds = map[string]func(pod ns.NetNS, mac net.HardwareAddr) error{
	"macvlan": func(pod ns.NetNS, mac net.HardwareAddr) error {
		parent, err := netlinksafe.LinkByName("eth0.50")
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex, attrs.HardwareAddr, attrs.Namespace = "net1", parent.Attrs().Index, mac, netlink.NsFd(int(pod.Fd()))
		return netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE})
	},
	"veth": func(pod ns.NetNS, mac net.HardwareAddr) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "veth1"
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "net1", PeerHardwareAddr: mac, PeerNamespace: netlink.NsFd(int(pod.Fd()))})
	},
}

func addLink(t *testing.T, host, pod ns.NetNS, kind, mac string) {
	t.Helper()
	hw, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	netnstest.Do(t, host, func() error { return kinds[kind](pod, hw) })
}

// has is the MAC of the namespace's net1 as it is seen in there, "" if there is none.
func has(t *testing.T, n ns.NetNS) (mac string) {
	t.Helper()
	netnstest.Do(t, n, func() error {
		link, err := netlinksafe.LinkByName("net1")
		if err == nil {
			mac = link.Attrs().HardwareAddr.String()
		}
		return nil
	})
	return mac
}

// R-G7, F7: an interface whose address has moved on is removed where it is, once, and only if it is that one.
func TestRemove(t *testing.T) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			host, pod, other := newHost(t), netnstest.New(t), netnstest.New(t)
			addLink(t, host, pod, kind, leasedMAC)
			if kind == "macvlan" { // another pod's of the same name
				addLink(t, host, other, kind, otherMAC)
			}
			netnstest.Do(t, host, func() error {
				if mac, err := MAC(pod.Path(), "net1"); mac != leasedMAC || err != nil {
					t.Errorf("the MAC is %q, %v", mac, err)
				}
				if err := Remove(pod.Path(), "net1", otherMAC); !errors.Is(err, ErrOtherMAC) {
					t.Errorf("with another MAC: %v", err)
				}
				return nil
			})
			if mac := has(t, pod); mac != leasedMAC {
				t.Fatalf("an interface with another MAC was removed; now %q", mac)
			}
			for range 2 { // again: it is gone, and that is well
				netnstest.Do(t, host, func() error { return Remove(pod.Path(), "net1", strings.ToUpper(leasedMAC)) })
				if mac := has(t, pod); mac != "" {
					t.Errorf("it is still there, with MAC %s", mac)
				}
				netnstest.Do(t, host, func() error {
					if mac, err := MAC(pod.Path(), "net1"); mac != "" || err != nil {
						t.Errorf("the MAC is %q, %v", mac, err)
					}
					return nil
				})
			}
			if mac := has(t, other); kind == "macvlan" && mac != otherMAC {
				t.Errorf("the other pod's has MAC %q", mac)
			}
		})
	}
}

// R-S8: CAP_NET_ADMIN is enough, seen in a process that has no other and cannot enter the namespace.
func TestLeastPrivilege(t *testing.T) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			host, pod := newHost(t), netnstest.New(t)
			addLink(t, host, pod, kind, leasedMAC)
			cmd, err := privtest.Command(t.Context(), "remove", pod.Path(), "net1", leasedMAC)
			if err != nil {
				t.Fatal(err)
			}
			var output []byte
			netnstest.Do(t, host, func() error { // a process is born into the namespace of the thread that makes it
				output, err = cmd.CombinedOutput()
				return nil
			})
			if err != nil {
				t.Fatalf("%v: %s", err, output)
			}
			if mac := has(t, pod); mac != "" {
				t.Errorf("it is still there, with MAC %s", mac)
			}
		})
	}
}

// What is gone has no interface; what cannot be looked at is not gone.
func TestNamespacesThatAreNotThere(t *testing.T) {
	host := newHost(t)
	left := filepath.Join(t.TempDir(), "left") // as ip netns leaves it when its mount is gone
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		path string
		fail bool
	}{
		"gone":                    {path: filepath.Join(t.TempDir(), "gone")},
		"left behind":             {path: left},
		"in a directory not here": {path: "/run/no-such-directory/netns", fail: true},
		"unknown":                 {path: "", fail: true},
		"the node's own":          {path: "/proc/thread-self/ns/net", fail: true},
		"no network namespace":    {path: "/proc/thread-self/ns/uts", fail: true},
	} {
		t.Run(name, func(t *testing.T) {
			netnstest.Do(t, host, func() error {
				if mac, err := MAC(tc.path, "eth0.50"); mac != "" || (err != nil) != tc.fail {
					t.Errorf("the MAC is %q, %v", mac, err)
				}
				if err := Remove(tc.path, "eth0.50", leasedMAC); (err != nil) != tc.fail {
					t.Errorf("Remove: %v", err)
				}
				return nil
			})
		})
	}
}

// A link that is not software, as host-device gives to pods. A loopback with a MAC stands for it.
func TestWhatCannotBeRemoved(t *testing.T) {
	host, pod := newHost(t), netnstest.New(t)
	netnstest.Do(t, pod, func() error {
		lo, err := netlinksafe.LinkByName("lo")
		if err != nil {
			return err
		}
		mac, err := net.ParseMAC(leasedMAC)
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(lo, mac)
	})
	netnstest.Do(t, host, func() error {
		if err := Remove(pod.Path(), "lo", leasedMAC); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("lo: %v", err)
		}
		if err := Remove(pod.Path(), "net1", "02:32"); err == nil {
			t.Error("it takes anything for a MAC")
		}
		return nil
	})
}
