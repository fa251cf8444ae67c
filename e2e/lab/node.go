// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/containernetworking/plugins/pkg/ns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// trunkName is the node's cable to the switch.
	trunkName = "trunk0"

	// agentHealth is where an agent answers health probes; each has a loopback of its own.
	agentHealth = "127.0.0.1:8081"

	// agentMetrics is where it serves metrics.
	agentMetrics = "127.0.0.1:8082"
)

// Node is a machine of the cluster, played by a network namespace, with macpool's agent on it.
type Node struct {
	// Name is the name of the node, and of its port on the switch.
	Name string

	// API is the node's way to the API server.
	API *Relay

	// Agent is the agent's process, nil before StartAgent.
	Agent *Process

	lab   *Lab
	uid   string // of the Node object
	ns    ns.NetNS
	dir   string // what would be the node's own file system
	state string // the agent's state directory
	cache string // libcni's result cache

	plugins pluginSet
	// immortal is a caller of plugins that nothing kills: the test itself.
	immortal *caller
}

// AddNode makes a node with a cable to the switch, a parent link for each of the VLANs and an object in the API. The
// agent is not started yet.
func (l *Lab) AddNode(ctx context.Context, name string, vlans ...int) (*Node, error) {
	n, err := l.newNode(name)
	if err != nil {
		return nil, err
	}
	if n.ns, err = newNetNS(name); err != nil {
		return nil, err
	}
	if err := l.wire(n, vlans); err != nil {
		return nil, fmt.Errorf("wiring node %s: %w", name, err)
	}
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if n.API, err = newRelay(l.ctx, n.ns, loopback, l.API.Address()); err != nil { //nolint:contextcheck // it lives as long as the laboratory
		return nil, err
	}
	return n, l.register(ctx, n)
}

// newNode is a node that has no more than a directory.
func (l *Lab) newNode(name string) (*Node, error) {
	n := &Node{Name: name, lab: l, dir: filepath.Join(l.Dir, name), immortal: newCaller()}
	n.cache = filepath.Join(n.dir, "cni-cache")
	n.state = filepath.Join(cmp.Or(l.opts.State, l.Dir), name, "state")
	if err := os.MkdirAll(n.cache, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of %s: %w", name, err)
	}
	return n, nil
}

// register makes the node known to the API, ready as a kubelet that registers itself says.
func (l *Lab) register(ctx context.Context, n *Node) error {
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: map[string]string{corev1.LabelHostname: n.Name}}}
	if err := l.Client.Create(ctx, object); err != nil {
		return fmt.Errorf("creating node %s: %w", n.Name, err)
	}
	object.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}
	if err := l.Client.Status().Update(ctx, object); err != nil {
		return fmt.Errorf("calling node %s ready: %w", n.Name, err)
	}
	n.uid = string(object.UID)
	l.Nodes = append(l.Nodes, n)
	return nil
}

// wire connects the node to the switch. Its own links say nothing by themselves: what comes in at its port was sent by pods.
func (l *Lab) wire(n *Node, vlans []int) error {
	if err := within(n.ns, func() error { return silenceIPv6("default") }); err != nil {
		return err
	}
	if err := l.Switch.plug(n.Name, n.ns, trunkName); err != nil {
		return err
	}
	if err := within(n.ns, func() error { return setUp(trunkName) }); err != nil {
		return err
	}
	for _, vid := range vlans {
		if err := l.Switch.addParent(l.Backend, n.ns, n.Name, vid); err != nil {
			return err
		}
	}
	return nil
}

// Capture begins to record what pods of the node send on a VLAN, at the switch.
func (n *Node) Capture(vid int) (*Capture, error) {
	if n.lab.Backend == BackendPlain {
		return n.lab.Switch.capture(fmt.Sprintf("%s.%d", n.Name, vid))
	}
	return n.lab.Switch.capture(n.Name)
}

// Socket is the agent's socket.
func (n *Node) Socket() string { return filepath.Join(n.dir, "agent.sock") }

// StateDir is the agent's state directory, with its journal and the spool.
func (n *Node) StateDir() string { return n.state }

// StartAgent starts the node's agent and waits until it is ready. Its state survives a restart.
func (n *Node) StartAgent(ctx context.Context) error {
	if err := n.writeKubeconfig(ctx); err != nil {
		return err
	}
	return n.RunAgent(ctx)
}

func (n *Node) kubeconfig() string { return filepath.Join(n.dir, "agent.kubeconfig") }

// writeKubeconfig writes that of the node's agent.
func (n *Node) writeKubeconfig(ctx context.Context) error {
	user := credentials{serviceAccount: "macpool-agent", node: n}
	return n.lab.API.writeKubeconfig(ctx, n.kubeconfig(), "https://"+n.API.Addr(), user)
}

// RunAgent starts the agent with the kubeconfig that is there, and waits until it is ready.
func (n *Node) RunAgent(ctx context.Context) error {
	p, err := n.lab.start(command{
		name: "agent of " + n.Name, path: filepath.Join(n.lab.opts.Bin, "agent"), netns: n.ns,
		args: []string{
			"--node-name=" + n.Name, "--socket=" + n.Socket(), "--state-dir=" + n.StateDir(), "--kubeconfig=" + n.kubeconfig(),
			"--health-probe-bind-address=" + agentHealth, "--metrics-bind-address=" + agentMetrics,
		},
	})
	if err != nil {
		return err
	}
	n.Agent = p
	return p.awaitHealthy(ctx, agentHealth)
}

// UID is that of the Node object.
func (n *Node) UID() types.UID { return types.UID(n.uid) }

// Do runs f on a thread in the node's network namespace: the agent answers nobody who is elsewhere.
func (n *Node) Do(f func() error) error { return within(n.ns, f) }

// NetNS is the path of the node's network namespace.
func (n *Node) NetNS() string { return n.ns.Path() }
