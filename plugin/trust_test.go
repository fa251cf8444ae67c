// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/usertest"
)

// TestT14HostileSocket is threat T14 from the plugin's side (R-S7): somebody who is not root puts a socket in the place of the agent's, to have
// the plugin, which is root, configure what he answers. He is asked nothing, in any way in which he may have come there, and a DEL is kept
// for the agent.
func TestT14HostileSocket(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T, a *agentDouble) error
		want   string
	}{
		"the directory is a link": {func(t *testing.T, a *agentDouble) error {
			t.Helper()
			link := filepath.Join(t.TempDir(), "run")
			dir := filepath.Dir(a.socket)
			a.socket = filepath.Join(link, "agent.sock")
			return os.Symlink(dir, link)
		}, "it is a symbolic link"},
		"the socket is a link": {func(_ *testing.T, a *agentDouble) error {
			socket := a.socket
			a.socket += ".link"
			return os.Symlink(socket, a.socket)
		}, "it is a symbolic link"},
		"the socket is a file": {func(_ *testing.T, a *agentDouble) error {
			a.socket += ".file"
			return os.WriteFile(a.socket, nil, 0o600)
		}, "it is no socket"},
		"others may write the directory": {func(_ *testing.T, a *agentDouble) error {
			return os.Chmod(filepath.Dir(a.socket), 0o777)
		}, "others may write it, its mode is 777"},
		"others may write the socket": {func(_ *testing.T, a *agentDouble) error {
			return os.Chmod(a.socket, 0o666)
		}, "others may write it, its mode is 666"},
		"the directory is another's": {func(t *testing.T, a *agentDouble) error {
			t.Helper()
			return give(t, filepath.Dir(a.socket))
		}, "it belongs to uid 65534"},
		"the socket is another's": {func(t *testing.T, a *agentDouble) error {
			t.Helper()
			return give(t, a.socket)
		}, "it belongs to uid 65534"},
		// The paths were put right after he had begun to listen, or are looked at before he changes them.
		"another listens": {func(t *testing.T, a *agentDouble) error {
			t.Helper()
			dir := filepath.Dir(a.socket)
			if err := os.Chmod(dir, 0o777); err != nil {
				return err
			}
			a.socket += ".his"
			var his net.Listener
			usertest.As(t, usertest.Nobody, func() (err error) {
				his, err = listen(t, a.socket)
				return err
			})
			t.Cleanup(func() { _ = his.Close() })
			go func() {
				for conn, err := his.Accept(); err == nil; conn, err = his.Accept() {
					go a.serve(conn)
				}
			}()
			return errors.Join(os.Chown(a.socket, 0, 0), os.Chmod(dir, 0o700))
		}, "a process of uid 65534 listens there"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, leaseOf(ip4()))
			if err := tt.change(t, a); err != nil {
				t.Fatal(err)
			}
			p, out := newPlugin(a)
			_, err := p.ask(t.Context(), &agentapi.Request{Command: agentapi.Add})
			if got := problem.As(err); got == nil || got.Kind != problem.UntrustedSocket || !strings.Contains(got.Message, tt.want) {
				t.Errorf("ADD: %v, want %q", err, tt.want)
			}
			if err := p.Del(t.Context(), cmdArgs(nil, ipamConf("1.0.0", ""))); err != nil {
				t.Errorf("DEL: %v", err)
			}
			if kept := spooled(t, filepath.Join(a.state, agentapi.SpoolDir)); len(kept) != 1 || kept[0].ContainerID != "c1" {
				t.Errorf("DEL has left %v for the agent", kept)
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			if len(a.requests) != 0 || out.Len() != 0 {
				t.Errorf("he was asked %v, and %q printed", a.requests, out)
			}
		})
	}
}

func give(t *testing.T, path string) error {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a file away")
	}
	return os.Chown(path, usertest.Nobody, usertest.Nobody)
}

// TestLongAnswer is R-S7: an answer without an end is no answer, and is not read to it.
func TestLongAnswer(t *testing.T) {
	a := newAgent(t, nil)
	a.stop()
	listener, err := listen(t, a.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	wrote := make(chan int64, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close() //nolint:errcheck // it is over
		n, _ := io.Copy(conn, io.MultiReader(strings.NewReader(`{"lease":{"mac":"`), io.LimitReader(xs{}, 64<<20)))
		wrote <- n
	}()
	p, _ := newPlugin(a)
	_, err = p.ask(t.Context(), &agentapi.Request{Command: agentapi.Status})
	if got := problem.As(err); got == nil || got.Kind != problem.AgentUnreachable || !strings.Contains(got.Message, agentapi.ErrTooLarge.Error()) {
		t.Errorf("got %v", err)
	}
	if n := <-wrote; n > 8<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

// TestEndlessInput is R-S7 and R-C17: a configuration that never ends is an error, and not the end of the node's memory.
func TestEndlessInput(t *testing.T) {
	cmd := command(t, newAgent(t, nil), "ADD", "/run/netns/none")
	cmd.Stdin = xs{}
	cmd.WaitDelay = time.Minute
	stdout, err := cmd.Output()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("got %v", err)
	}
	if e := printed(t, bytes.TrimSpace(stdout)); !strings.HasPrefix(e.Msg, problem.InputTooLarge.Code) {
		t.Errorf("got %s", stdout)
	}
}

// xs are without an end.
type xs struct{}

func (xs) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
