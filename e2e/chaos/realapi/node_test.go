// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
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
	"github.com/macpool/macpool/e2e/chaos/oracle"
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

// sandbox is a pod sandbox: a path with a network namespace, which is all that an agent looks at.
type sandbox struct {
	id   string
	path string
	node *node
	// The node's lock guards:
	dead bool // its interface cannot send any more
	gone bool // and its path is no namespace any more
}

const iface = "net1"

func (w *world) newNode(ctx context.Context, name string) (*node, error) {
	n := &node{w: w, name: name, dir: filepath.Join(w.dir, name), boxes: map[string]*sandbox{}, acked: map[string]bool{}, adds: make(chan struct{}, maxADDs)}
	if err := os.MkdirAll(filepath.Join(n.dir, "netns"), 0o700); err != nil {
		return nil, err
	}
	if err := n.makeState(); err != nil {
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
			Args: []string{"--node-name=" + name, "--socket=" + n.socket(), "--state-dir=" + n.stateDir(), "--kubeconfig=" + n.kubeconfig()},
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
	mount := func(path string) error { return unix.Mount("/proc/self/ns/net", path, "", unix.MS_BIND, "") }
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

// tearAtWrite kills the agent when it writes its journal the next time, and tears what it wrote at any byte: the power went before
// it was on the disk. What was answered for is left alone, since it was.
func (n *node) tearAtWrite(rng *rand.Rand, limit time.Duration) bool {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return false
	}
	watch := os.NewFile(uintptr(fd), "inotify")
	defer func() { _ = watch.Close() }()
	if _, err := unix.InotifyAddWatch(fd, filepath.Join(n.stateDir(), "journal"), unix.IN_MODIFY); err != nil {
		return false
	}
	_ = watch.SetReadDeadline(time.Now().Add(limit))
	if _, err := watch.Read(make([]byte, 4096)); err != nil {
		return false
	}
	return n.w.kill(n.agent, n.w.between(rng, 0, time.Second), func() {
		n.w.pause(20 * time.Millisecond) // for answers that are in sockets
		if cut, whole := n.tear(rng); whole > 0 {
			n.w.logf("%s: power went while the journal was written: %d of %d octets of its last record are left", n.name, cut, whole)
			n.w.inject("F4", "power loss while the journal is written", "m3-m4")
		}
	})
}

// tear leaves a part of the journal's last line, if nobody was answered by it.
func (n *node) tear(rng *rand.Rand) (left, whole int) {
	path := filepath.Join(n.stateDir(), "journal")
	content, err := os.ReadFile(path)
	if err != nil || len(content) == 0 {
		return 0, 0
	}
	start := bytes.LastIndexByte(content[:len(content)-1], '\n') + 1
	var record struct {
		Container string `json:"container"`
	}
	line := content[start:]
	if len(line) > 9 {
		_ = json.Unmarshal(line[9:], &record)
	}
	n.mu.Lock()
	acked := n.acked[record.Container]
	n.mu.Unlock()
	if acked || record.Container == "" {
		return 0, 0
	}
	left = rng.IntN(len(line))
	_ = os.Truncate(path, int64(start+left))
	return left, len(line)
}
