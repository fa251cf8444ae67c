// SPDX-License-Identifier: Apache-2.0

package farm

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/e2e/lab"
)

// netnsDir is where runtimes name network namespaces.
const netnsDir = "/run/netns"

// Sandboxes are network namespaces with interfaces that are down, as IPAM plugins find them. To make and to remove one costs the kernel many
// times what an IPAM call costs; so they are made once, and each sandbox is a name for one of them, which comes and goes.
type Sandboxes struct{ bases []string }

// MakeSandboxes makes that many, with interfaces net1 and so on.
func MakeSandboxes(n *lab.Node, count, interfaces int) (*Sandboxes, error) {
	s := &Sandboxes{}
	for i := range count {
		one, err := n.NewSandbox(lab.NewPod("none", "none", ""))
		if err != nil {
			return nil, err
		}
		s.bases = append(s.bases, one.NetNS())
		if err := addLinks(one.NetNS(), interfaces); err != nil {
			return nil, fmt.Errorf("furnishing sandbox %d: %w", i, err)
		}
	}
	return s, nil
}

func addLinks(path string, count int) error {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	defer func() { _ = ns.Close() }()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink in %s: %w", path, err)
	}
	defer h.Close()
	for i := 1; i <= count; i++ {
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("net%d", i)}, PeerName: fmt.Sprintf("peer%d", i)}
		if err := h.LinkAdd(pair); err != nil {
			return fmt.Errorf("adding net%d: %w", i, err)
		}
	}
	return nil
}

// Open gives the i-th the name of a sandbox, and returns its path.
func (s *Sandboxes) Open(i int, id string) (string, error) {
	path := filepath.Join(netnsDir, "cni-"+id)
	if err := os.WriteFile(path, nil, 0o444); err != nil { //nolint:gosec // as runtimes do
		return "", fmt.Errorf("naming a sandbox: %w", err)
	}
	if err := unix.Mount(s.bases[i%len(s.bases)], path, "", unix.MS_BIND, ""); err != nil {
		return "", fmt.Errorf("naming a sandbox: %w", err)
	}
	return path, nil
}

// Close takes the name away.
func (s *Sandboxes) Close(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("closing sandbox %s: %w", path, err)
	}
	return os.Remove(path)
}
