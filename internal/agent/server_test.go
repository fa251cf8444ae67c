// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// patience is how long a test waits for what must happen, on a machine that is busy with others.
const patience = 30 * time.Second

// socketServer is a server as a node has it, for the user of the test.
func socketServer(t *testing.T, handle func(context.Context, *agentapi.Request) outcome) *server {
	t.Helper()
	return newServer(filepath.Join(t.TempDir(), "run", "agent.sock"), self(), clock.RealClock{}, logr.Discard(), handle)
}

// startServer serves until the test ends or stop is called; stop returns what serve returned.
func startServer(t *testing.T, s *server) (stop func() error) {
	t.Helper()
	listener, err := s.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, listener) }()
	stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return stop
}

func dial(t *testing.T, socket string) net.Conn {
	t.Helper()
	conn, err := tryDial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func tryDial(ctx context.Context, socket string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(patience))
}

// ask sends one request and returns its answer, also as it was written.
func ask(t *testing.T, socket string, req agentapi.Request) (agentapi.Response, []byte) {
	t.Helper()
	resp, raw, err := tryAsk(t.Context(), socket, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp, raw
}

// tryAsk is ask for goroutines, which must not end the test.
func tryAsk(ctx context.Context, socket string, req agentapi.Request) (resp agentapi.Response, raw []byte, err error) {
	conn, err := tryDial(ctx, socket)
	if err != nil {
		return resp, nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := agentapi.Write(conn, req); err != nil {
		return resp, nil, err
	}
	if raw, err = io.ReadAll(conn); err != nil {
		return resp, nil, fmt.Errorf("reading the answer to %s: %w", req.Command, err)
	}
	if err := agentapi.Read(bytes.NewReader(raw), &resp); err != nil {
		return resp, nil, fmt.Errorf("the answer to %s is %q: %w", req.Command, raw, err)
	}
	return resp, raw, nil
}

func leaseNamed(name string) outcome {
	return outcome{response: agentapi.Response{Lease: &agentapi.Lease{Name: name}}}
}

func self() uint32 { return uint32(os.Getuid()) } //nolint:gosec // G115: a uid fits

// TestSocketIsClosedToOthers proves R-S7: directory and socket are the owner's, and a peer of another uid gets no answer.
func TestSocketIsClosedToOthers(t *testing.T) {
	asked := make(chan struct{}, 1)
	s := socketServer(t, func(context.Context, *agentapi.Request) outcome {
		asked <- struct{}{}
		return outcome{}
	})
	s.uid++
	startServer(t, s)
	for path, want := range map[string]os.FileMode{s.path: 0o600, filepath.Dir(s.path): 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %s is %o, want %o", path, got, want)
		}
	}
	conn := dial(t, s.path)
	_ = agentapi.Write(conn, agentapi.Request{Command: agentapi.Status})
	if answer, _ := io.ReadAll(conn); len(answer) > 0 {
		t.Errorf("a stranger was answered %q", answer)
	}
	select {
	case <-asked:
		t.Error("a stranger's request was handled")
	default:
	}
}

// TestListenReplacesADeadSocket proves that an agent starts after one that was killed.
func TestListenReplacesADeadSocket(t *testing.T) {
	s := socketServer(t, func(context.Context, *agentapi.Request) outcome { return leaseNamed("second") })
	stop := startServer(t, s)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := s.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
}

// TestBadRequests proves that what is no request is answered in words, and large ones are not read to their end.
func TestBadRequests(t *testing.T) {
	s := socketServer(t, func(context.Context, *agentapi.Request) outcome { return leaseNamed("never") })
	startServer(t, s)
	tests := map[string]string{
		"no JSON":   "ADD please\n",
		"cut off":   `{"command": "ADD"`,
		"too large": `{"command": "` + strings.Repeat("A", agentapi.MaxMessage+1000) + `"}`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, s.path)
			go func() {
				_, _ = io.WriteString(conn, text)
				if unixConn, ok := conn.(*net.UnixConn); ok {
					_ = unixConn.CloseWrite()
				}
			}()
			var resp agentapi.Response
			if err := agentapi.Read(conn, &resp); err != nil {
				t.Fatal(err)
			}
			if resp.Error == nil || resp.Error.Code != problem.BadRequest.Code {
				t.Errorf("the answer is %+v, want %s", resp, problem.BadRequest.Code)
			}
		})
	}
}

// TestHangUp proves R-C9's signal: when the caller goes, the request's context ends and the outcome is not sent. DEL goes on.
func TestHangUp(t *testing.T) {
	for command, want := range map[agentapi.Command]error{agentapi.Add: errHungUp, agentapi.Del: nil} {
		t.Run(string(command), func(t *testing.T) {
			serving, release, sent, cause := make(chan struct{}), make(chan struct{}), make(chan bool, 1), make(chan error, 1)
			s := socketServer(t, func(ctx context.Context, _ *agentapi.Request) outcome {
				close(serving)
				select {
				case <-ctx.Done():
				case <-release:
				}
				cause <- context.Cause(ctx)
				out := leaseNamed("unsent")
				out.settle = func(ok bool) { sent <- ok }
				return out
			})
			startServer(t, s)
			conn := dial(t, s.path)
			if err := agentapi.Write(conn, agentapi.Request{Command: command}); err != nil {
				t.Fatal(err)
			}
			<-serving
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			if want == nil {
				close(release)
			}
			if got := <-cause; !errors.Is(got, want) {
				t.Errorf("the request ended with %v, want %v", got, want)
			}
			if want != nil && <-sent {
				t.Error("an answer was sent to nobody")
			}
		})
	}
}

// TestOverrun proves that a handler that hears of no deadline is answered for, and settled when it ends.
func TestOverrun(t *testing.T) {
	release, sent := make(chan struct{}), make(chan bool, 1)
	s := socketServer(t, func(context.Context, *agentapi.Request) outcome {
		<-release
		out := leaseNamed("too late")
		out.settle = func(ok bool) { sent <- ok }
		return out
	})
	s.limits = func(agentapi.Command) time.Duration { return 20 * time.Millisecond }
	startServer(t, s)
	conn := dial(t, s.path)
	if err := agentapi.Write(conn, agentapi.Request{Command: agentapi.Add}); err != nil {
		t.Fatal(err)
	}
	var resp agentapi.Response
	if err := agentapi.Read(conn, &resp); err != nil {
		t.Fatal(err)
	}
	if resp.Error == nil || resp.Error.CNI != problem.CNITryAgain {
		t.Errorf("the answer is %+v, want an error with CNI code %d", resp, problem.CNITryAgain)
	}
	close(release)
	if <-sent {
		t.Error("the late outcome was called sent")
	}
}

// TestPanic proves R-C17 for the agent: a panic is an answer, and the agent goes on.
func TestPanic(t *testing.T) {
	s := socketServer(t, func(_ context.Context, req *agentapi.Request) outcome {
		if req.Command == agentapi.Add {
			panic("nobody expected this")
		}
		out := leaseNamed("fine")
		if req.Command == agentapi.Del {
			out.settle = func(bool) { panic("nor this, when it was answered") }
		}
		return out
	})
	startServer(t, s)
	if resp, _ := ask(t, s.path, agentapi.Request{Command: agentapi.Add}); resp.Error == nil || resp.Error.Code != problem.Internal.Code {
		t.Errorf("the answer is %+v, want %s", resp, problem.Internal.Code)
	}
	for _, command := range []agentapi.Command{agentapi.Del, agentapi.Check} {
		if resp, _ := ask(t, s.path, agentapi.Request{Command: command}); resp.Lease == nil {
			t.Errorf("the answer to %s after a panic is %+v", command, resp)
		}
	}
}

// TestShutdownAnswersWhatWasAsked proves that the end of the agent does not cut a request off, and that no new one is taken.
func TestShutdownAnswersWhatWasAsked(t *testing.T) {
	serving, release := make(chan struct{}), make(chan struct{})
	s := socketServer(t, func(ctx context.Context, _ *agentapi.Request) outcome {
		close(serving)
		<-release
		if ctx.Err() != nil {
			return outcome{}
		}
		return leaseNamed("whole")
	})
	stop := startServer(t, s)
	conn := dial(t, s.path)
	if err := agentapi.Write(conn, agentapi.Request{Command: agentapi.Add}); err != nil {
		t.Fatal(err)
	}
	<-serving
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	var d net.Dialer
	for deadline := time.Now().Add(patience); ; {
		another, err := d.DialContext(t.Context(), "unix", s.path)
		if err != nil {
			break
		}
		_ = another.Close()
		if time.Now().After(deadline) {
			t.Fatal("the socket is still open")
		}
	}
	close(release)
	var resp agentapi.Response
	if err := agentapi.Read(conn, &resp); err != nil {
		t.Fatal(err)
	}
	if resp.Lease == nil || resp.Lease.Name != "whole" {
		t.Errorf("the answer is %+v", resp)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
