// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/e2e/chaos/faultproxy"
	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/internal/agentapi"
)

// node is a node: an agent with a socket, a state directory and a way to the API of its own, and the sandboxes that the
// driver makes in the runtime's place.
type node struct {
	w     *world
	name  string
	uid   types.UID
	dir   string
	proxy *faultproxy.Proxy
	agent *unit

	mu    sync.Mutex
	off   bool // without power
	boxes map[string]*sandbox
	acked map[string]bool // containers that the agent has answered for
	disk  string          // the state directory, if it is not in memory
	far   bool            // its sandboxes have network namespaces of their own

	// adds are the ADDs under way. A runtime has a limit, too; without one, a machine that falls behind falls further and further.
	adds chan struct{}
}

// maxADDs is how many pods a node attaches at a time.
const maxADDs = 8

const iface = "net1"

func (w *world) newNode(ctx context.Context, name string) (*node, error) {
	n := &node{w: w, name: name, dir: filepath.Join(w.dir, name), boxes: map[string]*sandbox{}, acked: map[string]bool{}, adds: make(chan struct{}, maxADDs)}
	if err := os.MkdirAll(filepath.Join(n.dir, "netns"), 0o700); err != nil {
		return nil, err
	}
	if err := errors.Join(os.WriteFile(n.shared(), nil, 0o600), ownNamespace(n.shared()), n.makeState()); err != nil {
		return nil, err
	}
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := w.admin.Create(ctx, object); err != nil {
		return nil, err
	}
	object.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
	}}
	if err := w.admin.Status().Update(ctx, object); err != nil {
		return nil, err
	}
	n.uid = object.UID
	var err error
	if n.proxy, err = faultproxy.New(w.ctx, name, w.upstream, w.plan, w.clock); err != nil { //nolint:contextcheck // it lives as long as the world
		return nil, err
	}
	if err := w.plane.writeKubeconfig(ctx, n.kubeconfig(), n.proxy, "macpool-agent", name, n.uid); err != nil {
		return nil, err
	}
	n.agent, err = w.newUnit("agent of "+name, false, func() (*lab.Process, error) {
		return lab.StartProcess(w.dir, lab.Command{
			Name: "agent of " + name, Path: filepath.Join(w.options.Bin, "agent"), Env: []string{"GOGC=200"},
			Args: []string{
				"--node-name=" + name, "--socket=" + n.socket(), "--state-dir=" + n.stateDir(), "--kubeconfig=" + n.kubeconfig(),
				"--netns-dirs=" + filepath.Join(n.dir, "netns"),
			},
		})
	})
	return n, err
}

// makeState makes the state directory: the first node's on the disk, where an fsync takes a while in which power can go; the
// second's on a small one, which can be full.
func (n *node) makeState() error {
	switch n.name {
	case "node-1":
		dir, err := os.MkdirTemp("/var/tmp", "macpool-chaos-")
		n.disk = dir
		return err
	case "node-2":
		if err := os.MkdirAll(n.stateDir(), 0o700); err != nil {
			return err
		}
		return unix.Mount("tmpfs", n.stateDir(), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=32m")
	default:
		return nil
	}
}

// shared is the network namespace of all sandboxes that have none of their own. The agent takes none that is its own.
func (n *node) shared() string { return filepath.Join(n.dir, "shared-netns") }

func (n *node) socket() string     { return filepath.Join(n.dir, "agent.sock") }
func (n *node) kubeconfig() string { return filepath.Join(n.dir, "kubeconfig") }

func (n *node) stateDir() string {
	if n.disk != "" {
		return n.disk
	}
	return filepath.Join(n.dir, "state")
}

var (
	errOff    = errors.New("the node is off")
	errHungUp = errors.New("the caller hung up")
)

// ask puts a question to the agent as the plugin does. A caller that hangs up closes the connection after that time, or by its
// call.
func (n *node) ask(req *agentapi.Request, limit, hangUp time.Duration, calls ...*call) (*agentapi.Response, error) {
	conn, err := net.DialTimeout("unix", n.socket(), limit) //nolint:noctx // the limit is all
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	for _, c := range calls {
		c.mu.Lock()
		c.conn = conn
		c.mu.Unlock()
	}
	deadline := limit
	if hangUp > 0 {
		deadline = min(limit, hangUp)
	}
	_ = conn.SetDeadline(time.Now().Add(deadline))
	if err := agentapi.Write(conn, req); err != nil {
		return nil, err
	}
	resp := &agentapi.Response{}
	if err := agentapi.Read(conn, resp); err != nil {
		if hangUp > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, errHungUp
		}
		return nil, err
	}
	return resp, nil
}

// answerError is an error that the agent answered with.
type answerError agentapi.Error

func (e *answerError) Error() string { return e.Code + ": " + e.Message }

func answerOf(resp *agentapi.Response, err error) (*agentapi.Lease, error) {
	if err != nil {
		return nil, err
	}
	if resp.Error != nil {
		return nil, (*answerError)(resp.Error)
	}
	return resp.Lease, nil
}

// del is the plugin's DEL: the agent is told, or the spool.
func (n *node) del(req *agentapi.Request) error {
	_, err := answerOf(n.ask(req, agentapi.DelTimeout, 0))
	if err == nil {
		n.ack(req.ContainerID)
		n.w.count.dels.Add(1)
		return nil
	}
	if err := n.spool(req); err != nil {
		return err
	}
	n.w.count.dels.Add(1)
	n.w.count.spooled.Add(1)
	return nil
}

// spool leaves a DEL for the agent as the plugin does: under its name it is whole.
func (n *node) spool(req *agentapi.Request) error {
	dir := filepath.Join(n.stateDir(), agentapi.SpoolDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".*.tmp")
	if err != nil {
		return err
	}
	err = errors.Join(json.NewEncoder(f).Encode(req), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, req.ContainerID+"@"+req.Interface+".json"))
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// spooled are the DELs that wait in the spool.
func (n *node) spooled() int {
	files, _ := filepath.Glob(filepath.Join(n.stateDir(), agentapi.SpoolDir, "[^.]*"))
	return len(files)
}

// powerLoss ends the agent and every sandbox at once, and keeps the node dark for a while.
func (n *node) powerLoss(dark time.Duration) bool {
	n.mu.Lock()
	if n.off {
		n.mu.Unlock()
		return false
	}
	n.off = true
	n.mu.Unlock()
	boot := func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.off = false
	}
	if !n.w.kill(n.agent, dark, nil) {
		boot()
		return false
	}
	n.mu.Lock()
	for _, sb := range n.boxes {
		sb.removeLocked()
	}
	n.mu.Unlock()
	n.w.background.Go(func() {
		n.w.pause(dark)
		boot()
	})
	return true
}

// repair brings a node back whose power was to be off for longer.
func (n *node) repair() {
	n.mu.Lock()
	n.off = false
	n.mu.Unlock()
	n.w.revive(n.agent)
}

// awaitPower waits until the node is on; nothing on it runs before.
func (n *node) awaitPower() {
	for n.dark() && n.w.pause(50*time.Millisecond) {
	}
}

func (n *node) dark() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.off
}

// ack remembers what the agent has answered for: that is on the disk, whatever happens.
func (n *node) ack(container string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.acked) > 10000 {
		clear(n.acked)
	}
	n.acked[container] = true
}
