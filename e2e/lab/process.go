// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"k8s.io/apimachinery/pkg/util/wait"
)

// Time limits for processes: what a loaded two-core machine needs, several times over.
const (
	startTimeout = 3 * time.Minute
	askTimeout   = 10 * time.Second
	stopTimeout  = 30 * time.Second
	pollInterval = 50 * time.Millisecond
)

// Process is one of macpool's processes.
type Process struct {
	// Name is what people call it, such as agent of node-a.
	Name string

	cmd     *exec.Cmd
	netns   ns.NetNS // nil: the control plane's own
	logPath string
	done    chan struct{} // closed when it has ended
}

// command is what to start.
type command struct {
	name  string
	path  string
	args  []string
	env   []string // beside the laboratory's own
	netns ns.NetNS
	out   *os.File // standard output, if it does not go to the log
}

// Command is a process for StartProcess.
type Command struct {
	// Name is what people call it; its log is called so.
	Name string
	// Path, Args and Env, which comes beside the caller's own, are what to run.
	Path string
	Args []string
	Env  []string
	// Out gets the standard output; nil for the log.
	Out *os.File
}

// StartProcess runs a command until it is stopped, outside of any laboratory. Its output is appended to a log in dir, which restarts
// share.
func StartProcess(dir string, c Command) (*Process, error) {
	return startProcess(dir, command{name: c.Name, path: c.Path, args: c.Args, env: c.Env, out: c.Out})
}

// start runs the command until it is stopped; its output is appended to a log, which restarts share.
func (l *Lab) start(c command) (*Process, error) { return startProcess(l.Dir, c) }

func startProcess(dir string, c command) (*Process, error) {
	p := &Process{
		Name: c.name, netns: c.netns, done: make(chan struct{}),
		logPath: filepath.Join(dir, strings.ReplaceAll(c.name, " ", "-")+".log"),
	}
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", c.name, err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	out := log
	if c.out != nil {
		out = c.out
	}
	// Not bound to the caller's context: processes outlive the call and are stopped by name, or with the PID namespace.
	p.cmd = &exec.Cmd{Path: c.path, Args: append([]string{c.path}, c.args...), Env: append(os.Environ(), c.env...), Stdout: out, Stderr: log}
	begin := p.cmd.Start
	if c.netns != nil {
		// A child is born into the network namespace of the thread that forks it.
		begin = func() error { return within(c.netns, p.cmd.Start) }
	}
	if err := begin(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Running tells whether it has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// PID is its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends it with SIGKILL and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Pause stops it where it is with SIGSTOP, until Resume.
func (p *Process) Pause() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets it go on after Pause.
func (p *Process) Resume() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

// Stop asks it to end and waits; after a while it is killed, which is an error.
func (p *Process) Stop(ctx context.Context) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("stopping %s: it did not end within %s", p.Name, stopTimeout)
	}
}

// Tail is the last lines of its log.
func (p *Process) Tail(lines int) string { return tail(p.logPath, lines) }

func tail(path string, lines int) string {
	b, err := os.ReadFile(path) //nolint:gosec // a log of the laboratory
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// AwaitReady waits until the process answers 200 at http://addr/readyz.
func (p *Process) AwaitReady(ctx context.Context, addr string) error {
	return p.awaitHealthy(ctx, addr)
}

// awaitHealthy waits until the process answers 200 at http://addr/readyz, asked from its own network namespace.
func (p *Process) awaitHealthy(ctx context.Context, addr string) error {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			dial := func() error {
				conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
				return err
			}
			if p.netns == nil {
				return conn, dial()
			}
			err = within(p.netns, dial)
			return conn, err
		},
	}
	last := "no answer yet"
	err := wait.PollUntilContextTimeout(ctx, pollInterval, startTimeout, true, func(ctx context.Context) (bool, error) {
		if !p.Running() {
			return false, fmt.Errorf("it ended: %s", p.cmd.ProcessState)
		}
		ok, said := healthy(ctx, transport, "http://"+addr+"/readyz")
		if ctx.Err() == nil { // a question that was cut off at the end says nothing
			last = said
		}
		return ok, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the %s to be ready: %w (%s)", p.Name, err, last)
	}
	return nil
}

func healthy(ctx context.Context, transport http.RoundTripper, url string) (bool, string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false, err.Error()
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return resp.StatusCode == http.StatusOK, resp.Status + " " + strings.TrimSpace(string(body))
}
