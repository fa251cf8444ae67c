// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	cnitypes "github.com/containernetworking/cni/pkg/types"
	"k8s.io/utils/clock"
)

// caller is the process that executes plugins: the runtime, or Multus. When it is killed, the plugins that it has started go
// on without it, and nobody reads what they print.
type caller struct {
	dead chan struct{}
	once sync.Once
}

func newCaller() *caller { return &caller{dead: make(chan struct{})} }

func (c *caller) kill() { c.once.Do(func() { close(c.dead) }) }

func (c *caller) isDead() bool {
	select {
	case <-c.dead:
		return true
	default:
		return false
	}
}

// errCallerKilled is what a call returns whose caller was killed: to nobody, in truth.
var errCallerKilled = errors.New("the process that called the plugin was killed")

// nodeExec executes plugins as on the node: in its network namespace, with the socket and the state directory of its agent. It
// does what libcni's RawExec does, and can be watched and abandoned besides.
type nodeExec struct {
	invoke.DefaultExec
	node *Node
	by   *caller
}

// ExecPlugin implements invoke.Exec. When ctx ends, the plugin is killed, and nobody else: libcni uses exec.CommandContext, and a
// plugin's own children live on.
func (e *nodeExec) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	environ = append(environ, "MACPOOL_AGENT_SOCKET="+e.node.Socket(), "MACPOOL_STATE_DIR="+e.node.StateDir())
	// As RawExec: a binary that is just being written is tried again.
	for range 5 {
		out, err := e.run(ctx, path, stdin, environ)
		if !errors.Is(err, syscall.ETXTBSY) {
			return out, err
		}
		clock.RealClock{}.Sleep(time.Second)
	}
	return e.run(ctx, path, stdin, environ)
}

func (e *nodeExec) run(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	p := &plugin{cmd: &exec.Cmd{Path: path, Args: []string{path}, Env: environ, Stdin: bytes.NewReader(stdin)}, ended: make(chan struct{})}
	if err := p.start(e.node); err != nil {
		return nil, err
	}
	info := PluginProcess{PID: p.cmd.Process.Pid, Plugin: filepath.Base(path)}
	for _, kv := range environ {
		key, value, _ := strings.Cut(kv, "=")
		switch key {
		case "CNI_COMMAND":
			info.Command = value
		case "CNI_CONTAINERID":
			info.ContainerID = value
		case "CNI_IFNAME":
			info.Interface = value
		}
	}
	e.node.plugins.add(info)
	go func() {
		<-p.ended
		e.node.plugins.remove(info.PID)
	}()
	select {
	case <-p.ended:
	case <-ctx.Done():
		_ = p.cmd.Process.Kill()
		<-p.ended
	case <-e.by.dead:
		p.abandon()
		return nil, errCallerKilled
	}
	return p.result()
}

// plugin is a plugin's process.
type plugin struct {
	cmd            *exec.Cmd
	stdout, stderr output
	err            error
	ended          chan struct{} // closed when the process has ended and all that it printed was read
}

// output is the reading end of a pipe and what was read from it.
type output struct {
	pipe *os.File
	text bytes.Buffer
}

func (p *plugin) start(n *Node) error {
	outR, outW, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("making a pipe: %w", err), outR.Close(), outW.Close())
	}
	p.stdout.pipe, p.stderr.pipe = outR, errR
	p.cmd.Stdout, p.cmd.Stderr = outW, errW
	// A child is born into the network namespace of the thread that forks it.
	err = within(n.ns, p.cmd.Start)
	_, _ = outW.Close(), errW.Close() // the child has its own
	if err != nil {
		return errors.Join(err, outR.Close(), errR.Close())
	}
	go func() {
		defer close(p.ended)
		var reading sync.WaitGroup
		for _, o := range []*output{&p.stdout, &p.stderr} {
			reading.Go(func() {
				_, _ = io.Copy(&o.text, o.pipe)
				_ = o.pipe.Close()
			})
		}
		p.err = p.cmd.Wait()
		reading.Wait()
	}()
	return nil
}

// abandon closes the reading ends, as the kernel does when the reader is killed.
func (p *plugin) abandon() { _, _ = p.stdout.pipe.Close(), p.stderr.pipe.Close() }

// result is what RawExec makes of the end of a plugin.
func (p *plugin) result() ([]byte, error) {
	if p.err == nil {
		return p.stdout.text.Bytes(), nil
	}
	e := &cnitypes.Error{}
	switch out := p.stdout.text.Bytes(); {
	case len(out) > 0:
		if err := json.Unmarshal(out, e); err != nil {
			e.Msg = fmt.Sprintf("netplugin failed but error parsing its diagnostic message %q: %v", out, err)
		}
	case p.stderr.text.Len() > 0:
		e.Msg = fmt.Sprintf("netplugin failed: %q", p.stderr.text.String())
	default:
		e.Msg = fmt.Sprintf("netplugin failed with no error message: %v", p.err)
	}
	return nil, e
}

// PluginProcess is a CNI plugin that the runtime of a node, or Multus, has started.
type PluginProcess struct {
	PID                             int
	Plugin                          string // the file's name
	Command, ContainerID, Interface string
}

// Children are the processes that it has started itself: its IPAM plugin.
func (p PluginProcess) Children() []int {
	var all []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.PID))
	for _, task := range tasks {
		text, _ := os.ReadFile(task) //nolint:gosec // a path of /proc
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				all = append(all, pid)
			}
		}
	}
	return all
}

// pluginSet are the plugins of a node that run. The zero value is ready.
type pluginSet struct {
	mu      sync.Mutex
	running map[int]PluginProcess // by PID
}

func (s *pluginSet) add(p PluginProcess) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		s.running = map[int]PluginProcess{}
	}
	s.running[p.PID] = p
}

func (s *pluginSet) remove(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, pid)
}

// Plugins are the plugins that run on the node, those included whose caller is gone. Their children are not.
func (n *Node) Plugins() []PluginProcess {
	n.plugins.mu.Lock()
	defer n.plugins.mu.Unlock()
	all := make([]PluginProcess, 0, len(n.plugins.running))
	for _, p := range n.plugins.running {
		all = append(all, p)
	}
	return all
}
