// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/macpool/macpool/internal/agentapi"
)

// call is a plugin that runs: one request to the agent, for a runtime that may have given it up.
type call struct {
	node *node
	to   *agentProcess
	req  agentapi.Request
	// sandbox is the one that it is for; nil if the runtime knows none of the id.
	sandbox *sandbox
	near    *conn
	far     *conn
	hungUp  bool
	started time.Time

	done chan struct{} // closed when resp or err is there
	resp agentapi.Response
	err  error
}

// timeLimits are how long the plugin waits.
var timeLimits = map[agentapi.Command]time.Duration{
	agentapi.Add: agentapi.AddTimeout, agentapi.Del: agentapi.DelTimeout, agentapi.Check: agentapi.CheckTimeout,
	agentapi.Status: agentapi.StatusTimeout, agentapi.GC: agentapi.GCTimeout,
}

// ask runs the plugin. If no agent answers, a DEL goes into the spool.
func (n *node) ask(req agentapi.Request, s *sandbox) *call {
	w := n.world
	c := &call{node: n, req: req, sandbox: s, started: time.Now(), done: make(chan struct{})}
	w.logf("%s %s", n.name, requestText(req))
	w.stats.asked(req.Command)
	if s != nil && req.Command == agentapi.Add {
		s.adds++
	}
	if !n.running() {
		c.err = errRefused
		close(c.done)
		w.calls = append(w.calls, c)
		return c
	}
	c.to = n.agent
	near, err := c.to.socket.dial()
	if err != nil {
		c.err = err
		close(c.done)
		w.calls = append(w.calls, c)
		return c
	}
	c.near = near
	c.far = &conn{pair: near.pair, end: 1}
	_ = near.SetReadDeadline(time.Now().Add(timeLimits[req.Command]))
	go func() {
		defer close(c.done)
		if c.err = agentapi.Write(near, req); c.err == nil {
			c.err = agentapi.Read(near, &c.resp)
		}
		_ = near.Close()
	}()
	w.calls = append(w.calls, c)
	return c
}

func requestText(req agentapi.Request) string {
	return fmt.Sprintf("%s %s/%s for pod %s/%s (%s)", req.Command, req.ContainerID, req.Interface, req.Pod.Namespace, req.Pod.Name, req.Pod.UID)
}

// hangUp kills the plugin.
func (c *call) hangUp() {
	c.hungUp = true
	if c.near != nil {
		_ = c.near.Close()
	}
}

// collect takes the answers that have come.
func (w *world) collect() {
	var open []*call
	for _, c := range w.calls {
		select {
		case <-c.done:
			w.finish(c)
		default:
			open = append(open, c)
		}
	}
	w.calls = open
}

// finish does what the plugin and its runtime do with an answer.
func (w *world) finish(c *call) {
	s := c.sandbox
	if s != nil && c.req.Command == agentapi.Add {
		s.adds--
	}
	failure := c.err
	if failure == nil && c.resp.Error != nil {
		failure = errors.New(c.resp.Error.Code + " " + c.resp.Error.Message)
	}
	w.logf("%s %s: %s", c.node.name, requestText(c.req), outcomeText(c, failure))
	w.stats.finished(c.req.Command, failure == nil && !c.hungUp)
	if s != nil && c.req.Command == agentapi.Del && (c.hungUp || c.err != nil || failure == nil) {
		s.goes = time.Now().Add(teardown)
	}
	switch {
	case c.hungUp || !c.node.on:
		// The plugin was killed: whatever the agent has answered, no link has it.
	case c.req.Command == agentapi.Add && failure == nil:
		w.truth.answered(c, c.resp.Lease)
	case c.req.Command == agentapi.Del && c.err != nil:
		w.must(c.node.spool(c.req))
	case c.req.Command == agentapi.Del && failure != nil:
		if s != nil {
			s.toDelete = true // the runtime tries again
		}
	}
}

func outcomeText(c *call, failure error) string {
	switch {
	case c.hungUp:
		return "killed"
	case failure != nil:
		return failure.Error()
	case c.resp.Lease != nil:
		return c.resp.Lease.Name
	default:
		return "done"
	}
}

// spool leaves a DEL for the next agent, as the plugin does.
func (n *node) spool(req agentapi.Request) error {
	dir := filepath.Join(n.disk, agentapi.SpoolDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text, err := json.Marshal(req)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, req.ContainerID+"@"+req.Interface+".json")
	if err := os.WriteFile(path+".tmp", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// runSandbox makes a sandbox for an interface of a pod, and has it attached.
func (n *node) runSandbox(namespace, pod, uid, iface, pool, identity string) *sandbox {
	s := &sandbox{
		id: n.world.name("c"), node: n, namespace: namespace, pod: pod, uid: uidOf(uid), iface: iface, pool: pool, identity: identity, alive: true,
	}
	n.world.truth.add(s)
	n.ask(s.request(agentapi.Add), s)
	return s
}

// stop has the runtime end a sandbox: it calls DEL first, and removes the link then, as the reference plugins do. What is gone
// already gets its DEL all the same.
func (s *sandbox) stop() {
	s.ending, s.toDelete = true, false
	req := s.request(agentapi.Del)
	if !s.alive {
		req.NetNS = ""
	}
	s.node.ask(req, s)
}

// teardown is how long a runtime takes at the longest from the end of a DEL, however it ended, to the end of the link. It is what a
// pool's cooldown must cover: no address is held for a sandbox of which its runtime has said that it ends.
const teardown = 8 * time.Second

// tearDownLinks ends the links whose time is over, and returns for how long there is none to be ended.
func (w *world) tearDownLinks() time.Duration {
	next := kubeletPeriod
	for _, n := range w.nodes {
		for _, s := range n.sandboxes {
			if !s.alive || s.goes.IsZero() {
				continue
			}
			if left := time.Until(s.goes); left > 0 {
				next = min(next, left)
				continue
			}
			s.vanish("its sandbox ends")
		}
	}
	return next
}

// vanish removes the network namespace, with the link in it.
func (s *sandbox) vanish(why string) {
	s.node.world.truth.gone(s, why)
}
