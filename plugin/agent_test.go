// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// agentDouble is an agent that answers what it is told to and remembers what it was asked.
type agentDouble struct {
	socket string
	state  string
	stop   func()

	mu       sync.Mutex
	requests []agentapi.Request
	hungUp   int
	// answer is asked for each request; a nil response is never sent.
	answer func(agentapi.Request) *agentapi.Response
}

// newAgent starts an agent that gives every attachment the lease.
func newAgent(t *testing.T, lease *agentapi.Lease) *agentDouble {
	t.Helper()
	// A socket's path may have 108 octets; a test's own directory may be deeper.
	dir, err := os.MkdirTemp("", "mp-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	a := &agentDouble{socket: filepath.Join(dir, "agent.sock"), state: filepath.Join(dir, "state")}
	a.answer = func(req agentapi.Request) *agentapi.Response {
		switch req.Command {
		case agentapi.Add, agentapi.Lookup, agentapi.Check:
			return &agentapi.Response{Lease: lease}
		default:
			return &agentapi.Response{}
		}
	}
	listener, err := listen(t, a.socket)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { a.serve(conn) })
		}
	})
	a.stop = sync.OnceFunc(func() { _ = listener.Close() })
	t.Cleanup(func() {
		a.stop()
		serving.Wait()
		_ = os.RemoveAll(dir)
	})
	return a
}

func listen(tb testing.TB, socket string) (net.Listener, error) {
	tb.Helper()
	var c net.ListenConfig
	listener, err := c.Listen(tb.Context(), "unix", socket)
	if err != nil {
		return nil, err
	}
	return listener, os.Chmod(socket, 0o600) // whatever the umask is
}

func (a *agentDouble) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var req agentapi.Request
	if err := agentapi.Read(conn, &req); err != nil {
		return
	}
	a.mu.Lock()
	a.requests = append(a.requests, req)
	answer := a.answer
	a.mu.Unlock()
	if resp := answer(req); resp != nil {
		_ = agentapi.Write(conn, resp)
		return
	}
	_, _ = conn.Read(make([]byte, 1))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hungUp++
}

func (a *agentDouble) answers(f func(agentapi.Request) *agentapi.Response) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = f
}

// refuses makes every answer the problem.
func (a *agentDouble) refuses(p *problem.Error) {
	a.answers(func(agentapi.Request) *agentapi.Response { return &agentapi.Response{Error: agentapi.NewError(p)} })
}

// asked are the requests of one command so far.
func (a *agentDouble) asked(command agentapi.Command) []agentapi.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.requests), func(r agentapi.Request) bool { return r.Command != command })
}

func (a *agentDouble) hangUps() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hungUp
}

// env is the environment that leads the plugin here.
func (a *agentDouble) env() []string {
	return []string{agentapi.SocketEnv + "=" + a.socket, agentapi.StateDirEnv + "=" + a.state}
}

func (a *agentDouble) getenv(key string) string {
	return map[string]string{agentapi.SocketEnv: a.socket, agentapi.StateDirEnv: a.state}[key]
}

const testMAC = "02:32:00:a8:32:08"

// leaseOf is a lease of the addresses, each "prefix" or "prefix via gateway".
func leaseOf(ips ...agentapi.IP) *agentapi.Lease {
	return &agentapi.Lease{
		MAC: testMAC, IPs: ips, Name: "vlan-50.192.168.50.8",
		Claim: agentapi.ClaimRef{Namespace: "home", Name: "db-0.iot.net1"},
	}
}

func ip4() agentapi.IP {
	return agentapi.IP{Address: netip.MustParsePrefix("192.168.50.8/24"), Gateway: netip.MustParseAddr("192.168.50.1")}
}

func ip6() agentapi.IP {
	return agentapi.IP{Address: netip.MustParsePrefix("fd00:50::8/64"), Gateway: netip.MustParseAddr("fd00:50::1")}
}

func routeOf(dst, gw string) agentapi.Route {
	r := agentapi.Route{Dst: netip.MustParsePrefix(dst)}
	if gw != "" {
		r.GW = netip.MustParseAddr(gw)
	}
	return r
}
