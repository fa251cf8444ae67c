// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/macpool/macpool/internal/agent"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/links"
	"github.com/macpool/macpool/internal/wire"
)

const (
	// kubeletPeriod is how often a kubelet reports, nodeGrace how long it may be silent before its node is called so.
	kubeletPeriod = 10 * time.Second
	nodeGrace     = 40 * time.Second
)

// node is a machine: its power, its cables, its disk, its runtime's sandboxes, and the agent on it.
type node struct {
	world *world
	name  string
	// on: it has power.
	on bool
	// apiCut, wireCut : its cables to the API and to the VLAN are out.
	apiCut, wireCut bool
	// wireBack is when the cable to the VLAN was put in again, troubled when something was wrong with the node or with its agent last.
	wireBack, troubled time.Time
	// heard is when its kubelet reported last.
	heard time.Time

	agent *agentProcess
	// ending are agents that let their last requests end.
	ending []*agentProcess
	// disk is the state directory; boots counts the agents, each of which has its own copy of it.
	disk  string
	boots int
	wrong time.Duration

	sandboxes []*sandbox
}

// agentProcess is an agent that runs, or ran.
type agentProcess struct {
	*process

	agent  *agent.Agent
	view   *viewOf
	socket *socket
	cancel context.CancelFunc
	done   chan struct{}
	since  time.Time
}

// sandbox is a container's network namespace, with one interface of macpool's in it.
type sandbox struct {
	id        string
	node      *node
	namespace string
	pod       string
	uid       types.UID
	iface     string
	pool      string
	identity  string // of the claim, namespace/name
	// alive: the network namespace is there.
	alive bool
	// ending: the runtime has begun to end it. Its link is the last to go.
	ending bool
	// goes is when at the latest its link goes, if the runtime has begun to remove it.
	goes time.Time
	// toDelete: a DEL is still to be sent, or has failed.
	toDelete bool
	// adds are its ADDs that are being served.
	adds int
}

func (s *sandbox) netns() string { return "/var/run/netns/" + s.id }

// newNode makes a machine that is off, without Node.
func (w *world) newNode() *node {
	n := &node{world: w, name: w.name("node-")}
	n.disk = filepath.Join(w.dir, n.name, "0")
	w.must(os.MkdirAll(n.disk, 0o700))
	w.nodes = append(w.nodes, n)
	return n
}

// register makes its Node.
func (n *node) register() {
	n.world.must(n.world.admin.Create(context.Background(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name}}))
	n.heard = time.Time{}
	n.world.watchNodes()
}

// inAPI is its Node, nil if there is none.
func (n *node) inAPI() *corev1.Node {
	for _, o := range all[*corev1.Node](n.world, "Node") {
		if o.Name == n.name {
			return o
		}
	}
	return nil
}

// boot gives it power and starts its agent.
func (n *node) boot() {
	n.on = true
	n.startAgent()
	n.world.watchNodes()
}

// powerOff : everything that runs on it is gone, its disk is not. torn bytes of a record that was being written are at its end.
func (n *node) powerOff(torn int) {
	n.on = false
	n.killAgent()
	n.world.net.drop(n.lastProcess())
	n.copyDisk(torn)
	for _, s := range n.sandboxes {
		if s.alive {
			s.alive, s.ending, s.toDelete = false, true, true
			n.world.truth.down(s, "power off")
		}
	}
}

func (n *node) lastProcess() *process {
	if n.agent == nil {
		return nil
	}
	return n.agent.process
}

// killAgent ends the agent at once. Connections to it break.
func (n *node) killAgent() {
	for _, a := range append(n.ending, n.agent) {
		if a == nil || a.dead.Load() {
			continue
		}
		a.dead.Store(true)
		a.cancel()
		_ = a.socket.Close()
		for _, c := range n.world.calls {
			if c.to == a {
				_ = c.far.Close()
			}
		}
	}
	n.ending = nil
}

// running tells whether the agent runs.
func (n *node) running() bool { return n.agent != nil && !n.agent.dead.Load() }

// crashAgent kills the agent and leaves its disk as kill -9 does, with a part of a record at the end if torn.
func (n *node) crashAgent(torn int) {
	n.killAgent()
	n.copyDisk(torn)
}

// copyDisk makes the state directory a copy of what it is now, so that nothing that the ended agent still does changes it.
func (n *node) copyDisk(torn int) {
	n.boots++
	next := filepath.Join(n.world.dir, n.name, fmt.Sprint(n.boots))
	n.world.must(os.CopyFS(next, os.DirFS(n.disk)))
	n.disk = next
	n.world.must(os.RemoveAll(filepath.Join(next, "lock")))
	if torn > 0 {
		f, err := os.OpenFile(filepath.Join(next, "journal"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		n.world.must(err)
		record := `0a1b2c3d {"container":"half","interface":"net1","state":"attached","at":"2000-01-01T00:00:00Z"}`
		_, err = f.WriteString(record[:min(torn, len(record))])
		n.world.must(err)
		n.world.must(f.Close())
	}
}

// startAgent starts an agent on the disk.
func (n *node) startAgent() {
	w := n.world
	a := &agentProcess{
		process: &process{name: w.name("agent-of-" + n.name + "-"), cut: n.apiCut}, socket: newSocket(n.wrong),
		done: make(chan struct{}), since: time.Now(),
	}
	live := w.server.Client(a.name, w.net.transport(a.process))
	parts := agent.Parts{
		Client: live,
		NewCache: func(options cache.Options) (cache.Cache, error) {
			c := w.server.Cache(options)
			a.view = newView(a.process, w.server, c)
			return c, nil
		},
		Listen:     a.socket.listen,
		NetNSAlive: func(path string) bool { return n.netnsAlive(path) },
		Jitter:     func(d time.Duration) time.Duration { return d / 2 },
		Ask: func(ctx context.Context, _ string, q wire.Query) (string, error) {
			return n.askVLAN(ctx, q)
		},
		LookAtLink: func(netns, iface string) (links.State, error) {
			id, _ := strings.CutPrefix(netns, "/var/run/netns/")
			return n.world.truth.look(id, iface), nil
		},
		RemoveLink: func(netns, iface, mac string) error {
			if a.dead.Load() {
				return errEnded
			}
			return n.removeLink(netns, iface, mac)
		},
	}
	made, err := agent.NewWith(parts, agent.Options{
		NodeName: n.name, StateDir: n.disk, Clock: processClock{off: n.wrong}, Log: logr.Discard(),
		Times: agent.Times{Spool: 15 * time.Second}, // it is a look at the disk
	})
	w.must(err)
	clk := processClock{off: n.wrong}
	a.agent, a.answered = made, func(sent time.Time) { made.Answered(sent.Add(clk.off)) }
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	go func() {
		defer close(a.done)
		if err := made.Run(ctx); err != nil && ctx.Err() == nil {
			panic(fmt.Sprintf("%s ended: %v", a.name, err))
		}
	}()
	n.agent = a
}

// netnsAlive is what the kernel says of a path. One that it does not know counts as alive.
func (n *node) netnsAlive(path string) bool {
	id, ok := strings.CutPrefix(path, "/var/run/netns/")
	return !ok || n.world.truth.alive(id)
}

// askVLAN is what answers on the VLAN, as the node's link hears it.
func (n *node) askVLAN(ctx context.Context, q wire.Query) (string, error) {
	rounds := q.Rounds
	if rounds == 0 {
		rounds = 3
	}
	for range rounds {
		if mac := n.world.truth.answers(n, q.IPs, q.MAC); mac != "" {
			return mac, nil
		}
		timer := time.NewTimer(250 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return "", ctx.Err()
		}
	}
	return n.world.truth.answers(n, q.IPs, q.MAC), nil
}

// removeLink removes the interface from a sandbox, if it is the one with the MAC.
func (n *node) removeLink(netns, iface, mac string) error {
	id, _ := strings.CutPrefix(netns, "/var/run/netns/")
	n.world.truth.fenced(id, iface, mac)
	return nil
}

// watchNodes is the node controller: what reports is ready, what has been silent is not.
func (w *world) watchNodes() {
	for _, n := range w.nodes {
		if n.isTroubled() {
			n.troubled = time.Now()
		}
		o := n.inAPI()
		if o == nil {
			continue
		}
		if n.on && !n.apiCut {
			n.heard = time.Now()
		}
		status := corev1.ConditionUnknown
		if time.Since(n.heard) < nodeGrace {
			status = corev1.ConditionTrue
		}
		if len(o.Status.Conditions) == 1 && o.Status.Conditions[0].Status == status {
			continue
		}
		ready := o.DeepCopy()
		ready.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
		w.must(w.admin.Status().Update(context.Background(), ready))
	}
}

// isTroubled tells whether something keeps the agent from hearing what happens.
func (n *node) isTroubled() bool {
	if !n.on || n.apiCut || !n.running() || n.agent.view == nil || len(n.world.rules) > 0 || holdsRequests(n.world) {
		return true
	}
	for _, lag := range n.agent.view.lag {
		if lag != 0 {
			return true
		}
	}
	return false
}

// setCuts takes cables out or puts them in.
func (n *node) setCuts(api, vlan bool) {
	if n.wireCut && !vlan {
		n.wireBack = time.Now()
	}
	n.apiCut, n.wireCut = api, vlan
	if n.agent != nil {
		n.agent.cut = api
		if n.agent.view != nil {
			n.agent.view.version = -1
		}
	}
	n.world.watchNodes()
}

// request is what a plugin asks for a sandbox.
func (s *sandbox) request(command agentapi.Command) agentapi.Request {
	req := agentapi.Request{
		Command: command, ContainerID: s.id, NetNS: s.netns(), Interface: s.iface, Network: s.pool, Pool: s.pool, Link: "eth0.50",
		Pod: agentapi.Pod{Namespace: s.namespace, Name: s.pod, UID: string(s.uid)},
	}
	return req
}

func parseIPs(lease *agentapi.Lease) []netip.Addr {
	ips := make([]netip.Addr, 0, len(lease.IPs))
	for _, ip := range lease.IPs {
		ips = append(ips, ip.Address.Addr())
	}
	return ips
}
