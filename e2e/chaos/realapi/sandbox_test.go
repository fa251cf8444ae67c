// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/e2e/chaos/oracle"
	"github.com/macpool/macpool/internal/agentapi"
)

// sandbox is a pod sandbox: a path with a network namespace, which is all that an agent looks at.
type sandbox struct {
	id   string
	path string
	node *node
	// The node's lock guards:
	dead bool // its interface cannot send any more
	gone bool // and its path is no namespace any more
}

// newSandbox makes a sandbox on the node.
func (n *node) newSandbox() (*sandbox, error) {
	sb := &sandbox{id: n.w.newID(), node: n}
	sb.path = filepath.Join(n.dir, "netns", sb.id[:16])
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.off {
		return nil, errOff
	}
	if err := os.WriteFile(sb.path, nil, 0o600); err != nil {
		return nil, err
	}
	mount := func(path string) error { return unix.Mount(n.shared(), path, "", unix.MS_BIND, "") }
	if n.far {
		mount = ownNamespace
	}
	if err := mount(sb.path); err != nil {
		return nil, fmt.Errorf("mounting a namespace: %w", err)
	}
	n.boxes[sb.id] = sb
	return sb, nil
}

// down sets the sandbox's interface down: from now on it sends nothing.
func (sb *sandbox) down() {
	sb.node.mu.Lock()
	defer sb.node.mu.Unlock()
	sb.downLocked()
}

func (sb *sandbox) downLocked() {
	if !sb.dead {
		sb.dead = true
		w := sb.node.w
		if a := w.truth.Detach(sb.id, w.clock.Now()); a != nil {
			w.history.MayRelease(a.Lease, a.Identity, a.To)
		}
	}
}

func (sb *sandbox) isDead() bool {
	sb.node.mu.Lock()
	defer sb.node.mu.Unlock()
	return sb.dead
}

// remove takes the sandbox away.
func (sb *sandbox) remove() {
	sb.node.mu.Lock()
	defer sb.node.mu.Unlock()
	sb.removeLocked()
}

func (sb *sandbox) removeLocked() {
	sb.downLocked()
	if !sb.gone {
		sb.gone = true
		_ = unix.Unmount(sb.path, unix.MNT_DETACH)
		_ = os.Remove(sb.path)
		delete(sb.node.boxes, sb.id)
	}
}

// attached notes that the sandbox has the lease from now on. False if it has gone meanwhile.
func (sb *sandbox) attached(pod *corev1.Pod, identity string, lease *agentapi.Lease) bool {
	w := sb.node.w
	sb.node.mu.Lock()
	defer sb.node.mu.Unlock()
	if sb.dead {
		return false
	}
	a := oracle.Attachment{
		Container: sb.id, Node: sb.node.name, Pod: pod.Namespace + "/" + pod.Name, PodUID: string(pod.UID), Identity: identity,
		Lease: lease.Name, MAC: lease.MAC, From: w.clock.Now(),
	}
	for _, ip := range lease.IPs {
		a.IPs = append(a.IPs, ip.Address.Addr().String())
	}
	w.truth.Attach(a)
	w.ledger.Expect(a.Lease, identity, a.String(), a.From)
	return true
}

// request is what the plugin says of the sandbox.
func (sb *sandbox) request(command agentapi.Command, pod *corev1.Pod, pool string) *agentapi.Request {
	r := &agentapi.Request{
		Command: command, ContainerID: sb.id, NetNS: sb.path, Interface: iface, Network: pool, Pool: pool,
	}
	if pod != nil {
		r.Pod = agentapi.Pod{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)}
	}
	return r
}
