// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	cnitypes "github.com/containernetworking/cni/pkg/types"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// swallowed is what go-cni takes for success in a DEL (R-C7).
var swallowed = regexp.MustCompile(`(?i)not\s+found|no\s+such\s+file\s+or\s+directory`)

func TestCNIError(t *testing.T) {
	const exhausted = "pool iot has no address left"
	tests := map[string]struct {
		err  error
		want *cnitypes.Error
	}{
		"none": {nil, nil},
		"problem": {
			problem.NoPoolNamed.New("iot"),
			&cnitypes.Error{
				Code: 7, Msg: `MP305: the network "iot" names no pool`,
				Details: `Write "ipam": {"type": "macpool", "pool": "NAME"}. https://github.com/macpool/macpool/blob/main/docs/errors.md#mp305`,
			},
		},
		"the agent's, which may be newer": {
			&answer{CNI: 301, Code: "MP777", Message: exhausted, Fix: "Wait."},
			&cnitypes.Error{Code: 301, Msg: "MP777: " + exhausted, Details: "Wait. https://github.com/macpool/macpool/blob/main/docs/errors.md#mp777"},
		},
		"no fix": {
			&answer{CNI: 301, Code: "MP777", Message: exhausted},
			&cnitypes.Error{Code: 301, Msg: "MP777: " + exhausted, Details: "https://github.com/macpool/macpool/blob/main/docs/errors.md#mp777"},
		},
		"unexpected": {
			errors.New("boom"),
			&cnitypes.Error{
				Code: 11, Msg: "MP599: macpool failed unexpectedly: boom",
				Details: problem.Internal.Fix + " https://github.com/macpool/macpool/blob/main/docs/errors.md#mp599",
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := cniError(tt.err)
			if (got == nil) != (tt.want == nil) || (got != nil && *got != *tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// Whatever DEL says, no runtime takes it for "already gone".
func TestDelErrorsAreHarmless(t *testing.T) {
	texts := []string{
		"Not Found", "link not found", "open /x: no such file or directory", "NO SUCH FILE OR DIRECTORY", "not  found", fs.ErrNotExist.Error(),
	}
	for _, kind := range problem.Kinds() {
		texts = append(texts, kind.Sentence, kind.Fix)
	}
	for _, text := range texts {
		if e := forDel(&cnitypes.Error{Code: 11, Msg: text, Details: text}); swallowed.MatchString(e.Error()) {
			t.Errorf("%q became %q", text, e.Error())
		}
	}
}

func TestAgentUnreachable(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	_ = listener.Close()
	if err := os.Chmod(dead, 0o600); err != nil {
		t.Fatal(err)
	}

	tests := map[string]struct{ socket, want string }{
		"missing":       {filepath.Join(dir, "none"), "the socket does not exist"},
		"refused":       {dead, "nobody listens there"},
		"path too long": {filepath.Join(dir, strings.Repeat("x", 300)), "file name too long"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := &Plugin{Getenv: func(string) string { return tt.socket }}
			_, err := p.ask(t.Context(), &agentapi.Request{Command: agentapi.Status})
			got := problem.As(err)
			if got == nil || got.Kind != problem.AgentUnreachable || !strings.Contains(got.Message, tt.want) || !strings.Contains(got.Message, tt.socket) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if swallowed.MatchString(err.Error()) {
				t.Errorf("%q would be swallowed", err)
			}
		})
	}
}

// What an agent that ends in the middle of its answer leaves.
func TestAgentHangsUp(t *testing.T) {
	for name, sent := range map[string]string{"nothing": "", "half": `{"lease":{"mac":"02:`} {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, nil)
			a.stop()
			listener, err := listen(t, a.socket)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = listener.Close() })
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				var req agentapi.Request
				_ = agentapi.Read(conn, &req)
				_, _ = conn.Write([]byte(sent))
				_ = conn.Close()
			}()
			p, _ := newPlugin(a)
			_, err = p.ask(t.Context(), &agentapi.Request{Command: agentapi.Status})
			if got := problem.As(err); got == nil || !strings.HasSuffix(got.Message, "it hung up") {
				t.Errorf("got %v", err)
			}
		})
	}
}
