// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
)

// Host is a node with all that runs on it. It can be cut off and lose its power.
type Host struct {
	*Node

	Runtime *CRI
	Kubelet *Kubelet
}

// NewHost gives the node a runtime and a kubelet, which do not run pods yet.
func (n *Node) NewHost(p Personality, scale float64) (*Host, error) {
	h := &Host{Node: n, Runtime: n.NewCRI(p)}
	var err error
	h.Kubelet, err = n.NewKubelet(h.Runtime, scale)
	return h, err
}

// PowerOff cuts the power: nothing is sent any more, no process is left, and no network namespace of a pod. What is on the disk
// stays.
func (h *Host) PowerOff() error {
	errs := []error{h.Unplug()}
	h.Runtime.Kill()
	h.Runtime.StopMultus()
	h.KillPlugins()
	if h.Agent != nil {
		h.Agent.Kill()
	}
	h.Kubelet.Stop()
	h.KillPlugins() // which were just being started
	for _, s := range h.Runtime.Namespaces() {
		errs = append(errs, s.destroy())
	}
	return errors.Join(errs...)
}

// PowerOn boots the node: its cable is in, and runtime and kubelet start. The agent is not ready yet, as no pod of the node is.
func (h *Host) PowerOn(ctx context.Context) error {
	if err := h.Plug(); err != nil {
		return err
	}
	h.Runtime.StartMultus()
	if err := h.Runtime.Start(ctx); err != nil {
		return err
	}
	h.Kubelet.Start()
	return nil
}

// Unplug pulls the node's cable out of the switch. Pods of the node still reach each other.
func (n *Node) Unplug() error { return n.lab.Switch.setPorts(n.Name, netlink.LinkSetDown) }

// Plug puts the cable in again.
func (n *Node) Plug() error { return n.lab.Switch.setPorts(n.Name, netlink.LinkSetUp) }

// setPorts sets a node's ports up or down.
func (s *Switch) setPorts(node string, set func(netlink.Link) error) error {
	return within(s.ns, func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return fmt.Errorf("listing the switch's ports: %w", err)
		}
		for _, l := range links {
			if !isPort(l.Attrs().Name, node) {
				continue
			}
			if err := set(l); err != nil {
				return fmt.Errorf("setting port %s: %w", l.Attrs().Name, err)
			}
		}
		return nil
	})
}

// isPort tells whether a link of the switch is a port of the node; it has one for each VLAN where links do not tag.
func isPort(link, node string) bool { return link == node || strings.HasPrefix(link, node+".") }

// KillPlugins kills all plugins that run on the node, also those whose callers are gone.
func (n *Node) KillPlugins() {
	mark := []byte("\x00MACPOOL_STATE_DIR=" + n.StateDir() + "\x00")
	processes, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range processes {
		env, err := os.ReadFile(file) //nolint:gosec // a path of /proc
		if err != nil || !bytes.Contains(append([]byte{0}, env...), mark) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
