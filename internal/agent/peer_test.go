// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/go-logr/logr/funcr"
	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/netnstest"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/usertest"
)

// askFrom asks from where f is run, and returns what was answered; nothing, if the door was shut.
func askFrom(t *testing.T, socket string, from func(f func() error)) string {
	t.Helper()
	var conn net.Conn
	from(func() (err error) {
		conn, err = tryDial(t.Context(), socket)
		return err
	})
	defer func() { _ = conn.Close() }()
	_ = agentapi.Write(conn, agentapi.Request{Command: agentapi.Status})
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// counted is a server that counts what it was asked.
func counted(t *testing.T) (*server, *atomic.Int64) {
	t.Helper()
	asked := &atomic.Int64{}
	s := socketServer(t, func(context.Context, *agentapi.Request) outcome {
		asked.Add(1)
		return leaseNamed("given")
	})
	return s, asked
}

// TestT14OtherUser is threat T14 (R-S7): a process of the node that is not root. It does not get to the socket; and where modes do not keep
// it away, as for who has got hold of the directory before it was closed, it is not answered.
func TestT14OtherUser(t *testing.T) {
	s, asked := counted(t)
	for dir := filepath.Dir(filepath.Dir(s.path)); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // the test's own directories are not what keeps it away
			t.Fatal(err)
		}
	}
	startServer(t, s)
	usertest.As(t, usertest.Nobody, func() error {
		if _, err := tryDial(t.Context(), s.path); !errors.Is(err, syscall.EACCES) {
			t.Errorf("the socket as it was made: %v", err)
		}
		return nil
	})
	if err := errors.Join(os.Chmod(filepath.Dir(s.path), 0o755), os.Chmod(s.path, 0o666)); err != nil {
		t.Fatal(err)
	}
	answer := askFrom(t, s.path, func(f func() error) { usertest.As(t, usertest.Nobody, f) })
	if answer != "" || asked.Load() != 0 {
		t.Errorf("it was answered %q", answer)
	}
	if answer := askFrom(t, s.path, func(f func() error) { _ = f() }); answer == "" || asked.Load() != 1 {
		t.Error("root was not answered")
	}
}

// TestT15Container is threat T15 (R-S7): a container whose root is the node's, with the socket's directory mounted. It has a network of its
// own, and is not answered for that. How often it tries, it does not fill the log.
func TestT15Container(t *testing.T) {
	container := netnstest.New(t)
	s, asked := counted(t)
	var lines atomic.Int64
	s.log = funcr.New(func(_, args string) {
		lines.Add(1)
		if !strings.Contains(args, "another network namespace") {
			t.Errorf("the log says %s", args)
		}
	}, funcr.Options{})
	startServer(t, s)
	for range 100 {
		if answer := askFrom(t, s.path, func(f func() error) { netnstest.Do(t, container, f) }); answer != "" || asked.Load() != 0 {
			t.Fatalf("it was answered %q", answer)
		}
	}
	if answer := askFrom(t, s.path, func(f func() error) { _ = f() }); answer == "" || asked.Load() != 1 {
		t.Error("the node was not answered")
	}
	if lines.Load() != 1 {
		t.Errorf("%d lines of log for 100 tries", lines.Load())
	}
}

// TestT14SocketDirectory is threat T14 before the agent starts (R-S7): somebody else has made the directory of the socket, or led its path
// elsewhere. The agent refuses to listen there, and touches nothing that is not its own; one that is root's and open is closed.
func TestT14SocketDirectory(t *testing.T) {
	tests := map[string]struct {
		prepare func(t *testing.T, dir, elsewhere string) error
		want    string
	}{
		"a link":    {func(_ *testing.T, dir, elsewhere string) error { return os.Symlink(elsewhere, dir) }, "it is a link"},
		"a file":    {func(_ *testing.T, dir, _ string) error { return os.WriteFile(dir, nil, 0o600) }, "not a directory"},
		"another's": {func(t *testing.T, dir, _ string) error { t.Helper(); return giveAway(t, dir) }, "it belongs to uid 65534"},
		"ours, open": {func(_ *testing.T, dir, _ string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777))
		}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, _ := counted(t)
			dir, elsewhere := filepath.Dir(s.path), t.TempDir()
			if err := errors.Join(os.Chmod(elsewhere, 0o755), tt.prepare(t, dir, elsewhere)); err != nil {
				t.Fatal(err)
			}
			listener, err := s.listen(t.Context())
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				defer listener.Close() //nolint:errcheck // of the test
				if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
					t.Errorf("the directory is %v, %v", info.Mode(), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || problem.As(err) != nil && !problem.UntrustedSocket.Is(err) {
				t.Errorf("listening: %v", err)
			}
			info, err := os.Stat(elsewhere)
			if left, _ := os.ReadDir(elsewhere); err != nil || len(left) != 0 || info.Mode().Perm() != 0o755 {
				t.Errorf("where the link leads there are %v, mode %v (%v)", left, info.Mode(), err)
			}
		})
	}
}

func giveAway(t *testing.T, dir string) error {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a directory away")
	}
	return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, usertest.Nobody, usertest.Nobody))
}

// TestDoorKnowsTheNetwork keeps the other tests honest: on this kernel the door does look at network namespaces.
func TestDoorKnowsTheNetwork(t *testing.T) {
	s, _ := counted(t)
	listener, err := s.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // of the test
	_, err = networkOf(listener)
	if errors.Is(err, unix.ENOPROTOOPT) {
		t.Skip("the kernel is older than Linux 5.14")
	}
	if d := newDoor(s, listener); err != nil || d.network == 0 {
		t.Errorf("the own network namespace is %d, %v", d.network, err)
	}
}
