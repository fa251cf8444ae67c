// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/containernetworking/plugins/pkg/ns"
)

// Relay is a way between two network namespaces: a port in the one whose connections end in the other, such as a node's way to the API
// server. It can be cut and healed.
type Relay struct {
	listener net.Listener
	dial     func(ctx context.Context) (net.Conn, error)

	sent, received atomic.Int64

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{} // both sides of every open connection
}

// newRelay listens on an address of the namespace. The relay ends with ctx.
func newRelay(ctx context.Context, n ns.NetNS, address netip.Addr, target string) (*Relay, error) {
	listener, err := listenWithin(ctx, n, address)
	if err != nil {
		return nil, fmt.Errorf("listening for the API server's relay: %w", err)
	}
	return startRelay(ctx, listener, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp4", target)
	}), nil
}

// Metrics is an address in the control plane's namespace at which the node's agent serves its metrics. It ends with ctx.
func (n *Node) Metrics(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listening for the metrics of %s: %w", n.Name, err)
	}
	startRelay(ctx, listener, func(ctx context.Context) (conn net.Conn, err error) {
		err = within(n.ns, func() error {
			conn, err = (&net.Dialer{}).DialContext(ctx, "tcp4", agentMetrics)
			return err
		})
		return conn, err
	})
	return listener.Addr().String(), nil
}

// startRelay takes connections to the listener to where dial leads, until ctx ends.
func startRelay(ctx context.Context, listener net.Listener, dial func(context.Context) (net.Conn, error)) *Relay {
	r := &Relay{listener: listener, dial: dial, conns: map[net.Conn]struct{}{}}
	context.AfterFunc(ctx, func() {
		_ = r.listener.Close()
		r.Cut()
	})
	go r.serve(ctx)
	return r
}

// listenWithin listens on a free port; a socket stays in the namespace in which it was made.
func listenWithin(ctx context.Context, n ns.NetNS, address netip.Addr) (ln net.Listener, err error) {
	err = within(n, func() (err error) {
		ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp4", netip.AddrPortFrom(address, 0).String())
		return err
	})
	return ln, err
}

// Addr is where the API server is reached from within the node.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Cut breaks every connection, and every new one, until Heal.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = true
	for c := range r.conns {
		_ = c.Close()
	}
	clear(r.conns)
}

// Heal lets connections through again.
func (r *Relay) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = false
}

// open tells whether connections get through.
func (r *Relay) open() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.cut
}

func (r *Relay) serve(ctx context.Context) {
	for {
		in, err := r.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		go r.relay(ctx, in)
	}
}

func (r *Relay) relay(ctx context.Context, in net.Conn) {
	defer r.drop(in)
	if !r.keep(in) {
		return
	}
	out, err := r.dial(ctx)
	if err != nil {
		return
	}
	defer r.drop(out)
	if !r.keep(out) {
		return
	}
	go func() {
		_, _ = io.Copy(&counter{out, &r.sent}, in)
		r.drop(out) // ends the other direction too: the API server's protocols do not half-close
	}()
	_, _ = io.Copy(&counter{in, &r.received}, out)
}

// Bytes is how much has gone through so far: to where it leads, and back, with what TLS adds.
func (r *Relay) Bytes() (sent, received int64) { return r.sent.Load(), r.received.Load() }

// counter counts what is written.
type counter struct {
	io.Writer

	n *atomic.Int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n.Add(int64(n))
	return n, err
}

// keep remembers the connection, unless the relay is cut.
func (r *Relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		return false
	}
	r.conns[c] = struct{}{}
	return true
}

func (r *Relay) drop(c net.Conn) {
	_ = c.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}
