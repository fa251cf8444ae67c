// SPDX-License-Identifier: Apache-2.0

package execs

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/macpool/macpool/internal/agentapi"
)

// agent is a double that gives every interface the same lease, at once.
type agent struct {
	socket   string
	listener net.Listener
	serving  sync.WaitGroup
}

func startAgent(ctx context.Context, socket string) (*agent, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listening for the plugin: %w", err)
	}
	a := &agent{socket: socket, listener: listener}
	if err := os.Chmod(socket, 0o600); err != nil { // whatever the umask is
		a.stop()
		return nil, fmt.Errorf("listening for the plugin: %w", err)
	}
	a.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			a.serving.Go(func() { answer(conn) })
		}
	})
	return a, nil
}

func (a *agent) stop() {
	_ = a.listener.Close()
	a.serving.Wait()
}

// answer needs no error of its own: the plugin fails without its answer, and with it the section.
func answer(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var req agentapi.Request
	if err := agentapi.Read(conn, &req); err != nil {
		return
	}
	resp := &agentapi.Response{}
	if req.Command == agentapi.Add {
		resp.Lease = &agentapi.Lease{
			MAC:  "02:32:00:a8:32:08",
			IPs:  []agentapi.IP{{Address: netip.MustParsePrefix("192.168.50.8/24"), Gateway: netip.MustParseAddr("192.168.50.1")}},
			Name: "vlan-50.192.168.50.8", Claim: agentapi.ClaimRef{Namespace: "home", Name: "db-0.iot.net1"},
		}
	}
	_ = agentapi.Write(conn, resp)
}
