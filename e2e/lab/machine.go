// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
)

// Machine is a node on whose parent links the kernel's own 802.1Q tags the frames, whatever the machine of the laboratory is:
// a network namespace where its kernel has 802.1Q, else a User-mode Linux, which is a kernel of its own. Either way a
// program of the test runs on it, begins with BecomeNode and obeys over Conn.
type Machine struct {
	*Node

	// Conn is the connection that the program has opened.
	Conn net.Conn

	// Process is the program, or the kernel that runs it; its log has what both print.
	Process *Process
}

// MachineKind is what machines are.
type MachineKind string

const (
	// MachineNamespaces are network namespaces.
	MachineNamespaces MachineKind = "network namespaces"

	// MachineUML are User-mode Linux kernels.
	MachineUML MachineKind = "User-mode Linux"
)

// MachineKind is the kind that this machine can have; an error names what is missing for each.
func (l *Lab) MachineKind() (MachineKind, error) {
	if l.Backend == BackendVLAN {
		return MachineNamespaces, nil
	}
	if _, err := findUML(); err != nil {
		return "", fmt.Errorf("real VLAN links need a kernel with 802.1Q, which this machine's is not, or User-mode Linux: %w", err)
	}
	return MachineUML, nil
}

// machineConfig is what a machine is told as it starts.
type machineConfig struct {
	Name     string       // of the node
	Address  netip.Prefix // on the node network
	Callback string       // where the laboratory waits for the program
	VLANs    []int
	Dir      string
	Options  Options
}

// machineConfigEnv names the file that holds it.
const machineConfigEnv = "MACPOOL_MACHINE"

// Links of a machine.
const (
	machineTrunk   = "eth0" // to the switch
	machineNetwork = "eth1" // to the node network
)

// The node network is where nodes reach the API server. It is no part of the switch: that carries pods' frames and nothing else.
const nodeNetwork = "nodes"

// nodeNetworkAddress is the address of the n-th node there, or that of the laboratory.
func nodeNetworkAddress(n byte) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 255, 0, n}), 24)
}

const laboratory = 254

// AddMachine starts a machine with a cable to the switch and a parent link for each of the VLANs, and returns when its program
// has called back. macpool's agent is not started yet.
func (l *Lab) AddMachine(ctx context.Context, kind MachineKind, name, program string, vlans ...int) (*Machine, error) {
	n, err := l.newNode(name)
	if err != nil {
		return nil, err
	}
	if err := l.register(ctx, n); err != nil {
		return nil, err
	}
	m := &Machine{Node: n}
	if err := l.Switch.addNodeNetwork(); err != nil {
		return nil, err
	}
	host := nodeNetworkAddress(laboratory).Addr()
	if n.API, err = newRelay(l.ctx, l.Switch.ns, host, l.API.Address()); err != nil { //nolint:contextcheck // it lives as long as the laboratory
		return nil, err
	}
	if err := n.writeKubeconfig(ctx); err != nil {
		return nil, err
	}
	callback, err := listenWithin(ctx, l.Switch.ns, host)
	if err != nil {
		return nil, fmt.Errorf("listening for machine %s: %w", name, err)
	}
	defer func() { _ = callback.Close() }()
	config := machineConfig{
		Name: name, Address: nodeNetworkAddress(byte(len(l.Nodes))), //nolint:gosec // there are few nodes
		Callback: callback.Addr().String(),
		VLANs:    vlans, Dir: l.Dir, Options: l.opts,
	}
	if m.Process, err = l.boot(kind, n, program, config); err != nil {
		return nil, fmt.Errorf("starting machine %s: %w", name, err)
	}
	m.Conn, err = m.awaitCall(ctx, callback)
	return m, err
}

// boot starts a machine of the kind.
func (l *Lab) boot(kind MachineKind, n *Node, program string, config machineConfig) (*Process, error) {
	if kind == MachineUML {
		return l.bootUML(n, program, config)
	}
	env, err := config.write(n.dir)
	if err != nil {
		return nil, err
	}
	if n.ns, err = newNetNS(n.Name); err != nil {
		return nil, err
	}
	if err := l.Switch.plug(n.Name, n.ns, machineTrunk); err != nil {
		return nil, err
	}
	if err := l.Switch.plugInto(nodeNetwork, "n-"+n.Name, n.ns, machineNetwork); err != nil {
		return nil, err
	}
	return l.start(command{name: n.Name, path: program, env: []string{env}, netns: n.ns})
}

// write writes the configuration to the machine's directory and returns the variable that names it.
func (c *machineConfig) write(dir string) (string, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("writing the configuration of %s: %w", c.Name, err)
	}
	path := filepath.Join(dir, "machine.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("writing the configuration of %s: %w", c.Name, err)
	}
	return machineConfigEnv + "=" + path, nil
}

// awaitCall waits until the program has called back.
func (m *Machine) awaitCall(ctx context.Context, callback net.Listener) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	calls := make(chan net.Conn, 1)
	go func() {
		if c, err := callback.Accept(); err == nil {
			calls <- c
		}
	}()
	var err error
	select {
	case c := <-calls:
		return c, nil
	case <-m.Process.done:
		err = errors.New("it ended")
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, fmt.Errorf("waiting for machine %s: %w; its log ends:\n%s", m.Name, err, strings.ReplaceAll(m.Process.Tail(60), "\r", ""))
}

// Capture begins to record, at the switch, what the machine sends.
func (m *Machine) Capture() (*Capture, error) { return m.lab.Switch.capture(m.Name) }

// addNodeNetwork makes the node network, unless it is there.
func (s *Switch) addNodeNetwork() error {
	if s.bridges[nodeNetwork] != 0 {
		return nil
	}
	return within(s.ns, func() error {
		if err := s.addBridge(nodeNetwork); err != nil {
			return err
		}
		return setAddress(nodeNetwork, nodeNetworkAddress(laboratory))
	})
}

// setAddress gives a link of the current network namespace an address and sets it up.
func setAddress(name string, address netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("looking up %s: %w", name, err)
	}
	ipNet := &net.IPNet{IP: address.Addr().AsSlice(), Mask: net.CIDRMask(address.Bits(), address.Addr().BitLen())}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet}); err != nil {
		return fmt.Errorf("adding %s to %s: %w", address, name, err)
	}
	return setUp(name)
}
