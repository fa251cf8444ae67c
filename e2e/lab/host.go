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
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
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

// AddBridge makes a bridge on the node with the parent link of a VLAN as a port, for networks of the plugin bridge. It says nothing
// itself.
func (n *Node) AddBridge(name string, vid int) error {
	return within(n.ns, func() error {
		parent, err := netlink.LinkByName(parentName(vid))
		if err != nil {
			return fmt.Errorf("looking up %s: %w", parentName(vid), err)
		}
		br := &netlink.Bridge{
			// Fixed, as that of the switch is.
			LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: parent.Attrs().HardwareAddr},
			// It would tell the VLAN which groups it listens to.
			MulticastSnooping: new(false),
		}
		if err := netlink.LinkAdd(br); err != nil {
			return fmt.Errorf("adding bridge %s: %w", name, err)
		}
		if err := netlink.LinkSetMaster(parent, br); err != nil {
			return fmt.Errorf("plugging %s into %s: %w", parentName(vid), name, err)
		}
		return setUp(name)
	})
}

// IsParentMAC tells whether a MAC is that of the node's trunk or of one of its parent links, by which its agent asks.
func (n *Node) IsParentMAC(mac string) bool {
	found := false
	_ = within(n.ns, func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			name := l.Attrs().Name
			found = found || (name == trunkName || strings.HasPrefix(name, "eth0.")) && l.Attrs().HardwareAddr.String() == mac
		}
		return err
	})
	return found
}

// ReportReady writes the condition Ready of the node's object: true as its kubelet does, false as the control plane does that has
// not heard of the kubelet for a while.
func (n *Node) ReportReady(ctx context.Context, ready bool) error {
	node := &corev1.Node{}
	if err := n.lab.Client.Get(ctx, client.ObjectKey{Name: n.Name}, node); err != nil {
		return fmt.Errorf("reading node %s: %w", n.Name, err)
	}
	condition := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}
	if !ready {
		condition.Status, condition.Reason = corev1.ConditionUnknown, "NodeStatusUnknown"
	}
	patch := client.MergeFrom(node.DeepCopy())
	node.Status.Conditions = []corev1.NodeCondition{condition}
	if err := n.lab.Client.Status().Patch(ctx, node, patch); err != nil {
		return fmt.Errorf("reporting node %s: %w", n.Name, err)
	}
	return nil
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
