// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/netnstest"
)

// serveDHCP connects a network namespace to the node's VLAN, in which dnsmasq gives out 192.168.50.100 to .150.
func serveDHCP(t *testing.T, n *node, options ...string) {
	t.Helper()
	path, err := exec.LookPath("dnsmasq")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/dnsmasq")
	}
	if err != nil {
		t.Fatal("there is no dnsmasq, of Debian's dnsmasq-base: .ci/run installs it")
	}
	server := netnstest.New(t)
	netnstest.Do(t, n.ns, func() error {
		bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
		bridge.Name = "switch"
		router := netlink.NewLinkAttrs()
		router.Name = "port"
		err := errors.Join(netlink.LinkAdd(bridge), netlink.LinkAdd(&netlink.Veth{LinkAttrs: router, PeerName: "lan"}))
		if err != nil {
			return err
		}
		for _, name := range []string{"wire", "port"} {
			port, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			if err := errors.Join(netlink.LinkSetMaster(port, bridge), netlink.LinkSetUp(port)); err != nil {
				return err
			}
		}
		lan, err := netlink.LinkByName("lan")
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetUp(bridge), netlink.LinkSetNsFd(lan, int(server.Fd())))
	})
	addLinkIP(t, server, "lan", "192.168.50.1/24")
	setLinkUp(t, server, "lan")
	leases := filepath.Join(t.TempDir(), "leases")
	args := append([]string{
		"--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=lan", "--except-interface=lo", "--no-ping", "--user=root", "--pid-file=",
		"--log-facility=-", "--log-dhcp", "--dhcp-authoritative", "--dhcp-leasefile=" + leases, "--dhcp-range=192.168.50.100,192.168.50.150,1h",
	}, options...)
	netnstest.Do(t, server, func() error { // the child is in the namespace of the thread that starts it
		return start(t, exec.CommandContext(t.Context(), path, args...))
	})
}

// start runs a program until the end of the test, and shows what it says if the test fails.
func start(t *testing.T, program *exec.Cmd) error {
	t.Helper()
	said := filepath.Join(t.TempDir(), "said")
	out, err := os.Create(said)
	if err != nil {
		return err
	}
	program.Stdout, program.Stderr = out, out
	if err := program.Start(); err != nil {
		return errors.Join(err, out.Close())
	}
	t.Cleanup(func() {
		stop(program)
		_ = out.Close()
		if text, err := os.ReadFile(said); err == nil && t.Failed() {
			t.Logf("%s said:\n%s", program.Path, text)
		}
	})
	return nil
}

func stop(program *exec.Cmd) {
	_ = program.Process.Kill()
	_ = program.Wait()
}

// startDHCPDaemon starts the reference dhcp plugin as the daemon that keeps the leases of a node.
func startDHCPDaemon(t *testing.T, socket string) *exec.Cmd {
	t.Helper()
	_ = os.Remove(socket)
	daemon := exec.CommandContext(t.Context(), filepath.Join(reference(t), "dhcp"), "daemon", "-socketpath", socket)
	if err := start(t, daemon); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket)
		if err == nil {
			_ = conn.Close()
			return daemon
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// A pod whose pool leases MACs alone gets its address from a DHCP server of the VLAN, and the same in its next container, where docs/dhcp.md
// says so: with real macvlan, the reference dhcp daemon, and dnsmasq (R-C14, I4). No frame leaves the pod with another MAC.
func TestDHCP(t *testing.T) {
	const (
		mapped = "--dhcp-host=" + testMAC + ",192.168.50.20"
		byMAC  = "--dhcp-ignore-clid"
		byPod  = `,"provide":[{"option":"dhcp-client-identifier","fromArg":"K8S_POD_NAME"}]`
	)
	for name, tt := range map[string]struct {
		server, ipam string
		// lost : the first container ends without a word to the server, as on a node that was switched off.
		lost bool
		want string // of the first container, "" for any
		same bool
	}{
		"a static mapping":       {server: mapped, want: "192.168.50.20/24", same: true},
		"a static mapping, lost": {server: mapped, lost: true, want: "192.168.50.20/24", same: true},
		// The daemon's DHCPRELEASE has the sender 0.0.0.0 and one destination (insomniacslk/dhcp, BroadcastRawUDPConn): the kernel of a server
		// that runs on Linux drops it, and the server keeps the address for the client of the first container.
		"no mapping":              {same: false},
		"no mapping, lost":        {lost: true, same: false},
		"the server by MAC":       {server: byMAC, same: true},
		"the server by MAC, lost": {server: byMAC, lost: true, same: true},
		"by the pod's name":       {ipam: byPod, same: true},
		"by the pod's name, lost": {ipam: byPod, lost: true, same: true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, leaseOf())
			n := newNode(t, a)
			var options []string
			if tt.server != "" {
				options = []string{tt.server}
			}
			serveDHCP(t, n, options...)
			socket := filepath.Join(filepath.Dir(a.socket), "dhcp.sock")
			daemon := startDHCPDaemon(t, socket)
			next := n.capture(t)
			list := network(t, listOf("1.0.0", wrapped(fmt.Sprintf(`%s,"ipam":{"type":"dhcp","daemonSocketPath":%q%s}`, macvlanMain, socket, tt.ipam))))

			attach := func(container string) (*pod, netip.Prefix) {
				t.Helper()
				p := newPod(t, container)
				result, err := n.add(t, list, p)
				if err != nil {
					t.Fatal(err)
				}
				if mac := macOf(t, p.ns, "net1"); mac != testMAC || len(result.IPs) != 1 {
					t.Fatalf("the link has MAC %s, the result %v", mac, result.IPs)
				}
				if err := n.check(t, list, p); err != nil {
					t.Errorf("CHECK: %v", err)
				}
				return p, prefixOf(&result.IPs[0].Address)
			}
			p, first := attach("c1")
			if tt.want != "" && first.String() != tt.want {
				t.Errorf("it got %s, want %s", first, tt.want)
			}
			if tt.lost {
				stop(daemon)
				startDHCPDaemon(t, socket)
				netnstest.Do(t, p.ns, func() error {
					link, err := netlink.LinkByName("net1")
					if err != nil {
						return err
					}
					return netlink.LinkDel(link)
				})
			} else if err := n.del(t, list, p); err != nil {
				t.Fatal(err)
			}
			p, second := attach("c2")
			if (first == second) != tt.same {
				t.Errorf("the first container got %s, the second %s; want the same: %t", first, second, tt.same)
			}
			if err := n.del(t, list, p); err != nil {
				t.Error(err)
			}
			frames := 0
			for frame := next(); frame != nil; frame = next() {
				// The node's own end of the cable speaks too.
				if from := net.HardwareAddr(frame[6:12]).String(); from != testMAC && from != macOf(t, n.ns, "eth0.50") {
					t.Errorf("a frame left with MAC %s", from)
				}
				frames++
			}
			if frames == 0 {
				t.Error("no frame was seen")
			}
			if got := a.asked(agentapi.Add); len(got) != 2 || got[0].IPAM != "dhcp" {
				t.Errorf("asked %v", got)
			}
		})
	}
}

// Without a daemon the ADD fails, with what dhcp says, and leaves neither a lease nor an interface that is up.
func TestDHCPDaemonMissing(t *testing.T) {
	a := newAgent(t, leaseOf())
	n, p := newNode(t, a), newPod(t, "c1")
	socket := filepath.Join(filepath.Dir(a.socket), "dhcp.sock") // of a daemon that is not there
	list := network(t, listOf("1.0.0", wrapped(fmt.Sprintf(`%s,"ipam":{"type":"dhcp","daemonSocketPath":%q}`, macvlanMain, socket))))
	_, err := n.add(t, list, p)
	if err == nil || !strings.Contains(err.Error(), "MP422") || !strings.Contains(err.Error(), "dialing DHCP daemon") {
		t.Errorf("got %v", err)
	}
	// macvlan keeps its interface when its ipam fails in DEL; the runtime tries that again. It is down (I3).
	if isUp(t, p.ns) || len(a.asked(agentapi.Del)) != 1 {
		t.Errorf("the link is up, or the lease is there: asked %v", a.asked(agentapi.Del))
	}
}
