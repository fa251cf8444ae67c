// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	cnitypes "github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/netnstest"
)

// node is a network namespace that plays a node: its eth0.50 is one end of a cable whose other end can be listened to, and
// a runtime in it runs real plugins through libcni.
type node struct {
	ns  ns.NetNS
	cni *libcni.CNIConfig
}

func newNode(t *testing.T, a *agentDouble) *node {
	t.Helper()
	n := &node{ns: netnstest.New(t)}
	path := []string{filepath.Dir(pluginBinary), reference(t), doublePath(t)}
	n.cni = libcni.NewCNIConfigWithCacheDir(path, t.TempDir(), &runner{
		DefaultExec: invoke.DefaultExec{RawExec: &invoke.RawExec{Stderr: os.Stderr}}, env: a.env(),
	})
	netnstest.Do(t, n.ns, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "eth0.50"
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "wire"})
	})
	setLinkUp(t, n.ns, "wire")
	setLinkUp(t, n.ns, "eth0.50")
	return n
}

// runner leads the plugins that it runs, and those that they run, to an agent.
type runner struct {
	invoke.DefaultExec
	env []string
}

func (r *runner) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	return r.DefaultExec.ExecPlugin(ctx, path, stdin, append(environ, r.env...))
}

// pod is one attachment of a pod to a network.
type pod struct {
	ns      ns.NetNS
	runtime *libcni.RuntimeConf
}

func newPod(t *testing.T, container string) *pod {
	t.Helper()
	p := &pod{ns: netnstest.New(t)}
	p.runtime = &libcni.RuntimeConf{
		ContainerID: container, NetNS: p.ns.Path(), IfName: "net1",
		Args: [][2]string{
			{"IgnoreUnknown", "1"},
			{"K8S_POD_NAMESPACE", "home"},
			{"K8S_POD_NAME", "db-0"},
			{"K8S_POD_UID", "u-1"},
			{"K8S_POD_INFRA_CONTAINER_ID", container},
		},
	}
	return p
}

func network(t *testing.T, text string) *libcni.NetworkConfigList {
	t.Helper()
	list, err := libcni.NetworkConfFromBytes([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (n *node) add(t *testing.T, list *libcni.NetworkConfigList, p *pod) (*types100.Result, error) {
	t.Helper()
	var result cnitypes.Result
	err := n.ns.Do(func(ns.NetNS) (err error) {
		result, err = n.cni.AddNetworkList(t.Context(), list, p.runtime)
		return err
	})
	if err != nil {
		return nil, err
	}
	return types100.NewResultFromResult(result)
}

func (n *node) check(t *testing.T, list *libcni.NetworkConfigList, p *pod) error {
	t.Helper()
	return n.ns.Do(func(ns.NetNS) error { return n.cni.CheckNetworkList(t.Context(), list, p.runtime) })
}

func (n *node) del(t *testing.T, list *libcni.NetworkConfigList, p *pod) error {
	t.Helper()
	return n.ns.Do(func(ns.NetNS) error { return n.cni.DelNetworkList(t.Context(), list, p.runtime) })
}

// capture is what passes the wire from now on: the next frame, and nil when none waits.
func (n *node) capture(t *testing.T) (next func() []byte) {
	t.Helper()
	fd := -1
	netnstest.Do(t, n.ns, func() error {
		wire, err := netlink.LinkByName("wire")
		if err != nil {
			return err
		}
		all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: wire.Attrs().Index})
	})
	t.Cleanup(func() { _ = unix.Close(fd) })
	frame := make([]byte, 2048)
	return func() []byte {
		for {
			size, from, err := unix.Recvfrom(fd, frame, 0)
			if errors.Is(err, unix.EAGAIN) {
				return nil
			}
			if err != nil {
				t.Fatal(err)
			}
			// The wire's own frames come back to the socket too.
			if sender, ok := from.(*unix.SockaddrLinklayer); ok && sender.Pkttype != unix.PACKET_OUTGOING && size >= 14 {
				return frame[:size]
			}
		}
	}
}
