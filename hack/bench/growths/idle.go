// SPDX-License-Identifier: Apache-2.0

package growths

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/macpool/macpool/hack/bench/rig"
	"github.com/macpool/macpool/internal/agent"
)

// idlers are agents of nodes that have nothing to do, all in this process; what the API server sends them is counted.
type idlers struct {
	w        *world
	dir      string
	agents   []*agent.Agent
	received atomic.Int64
}

// grow starts agents until there are so many, and waits until they are ready.
func (s *idlers) grow(ctx context.Context, count int) error {
	for i := len(s.agents); i < count; i++ {
		name := fmt.Sprintf("idle-%03d", i)
		config, err := s.w.Register(ctx, name)
		if err != nil {
			return err
		}
		config.QPS = -1
		config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &counted{conn, &s.received}, nil
		}
		dir := filepath.Join(s.dir, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the directory of an agent: %w", err)
		}
		one, err := agent.New(config, agent.Options{
			NodeName: name, Socket: filepath.Join(dir, "agent.sock"), StateDir: filepath.Join(dir, "state"), NetNSDirs: []string{dir}, Log: logr.Discard(),
		})
		if err != nil {
			return err
		}
		s.agents = append(s.agents, one)
		go func() { _ = one.Run(ctx) }() // with the section
	}
	return eventually(ctx, 3*time.Minute, func(context.Context) error {
		for i, one := range s.agents {
			if err := one.Ready(); err != nil {
				return fmt.Errorf("agent %d of %d: %w", i, len(s.agents), err)
			}
		}
		return nil
	})
}

type counted struct {
	net.Conn

	received *atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.Add(int64(n))
	return n, err
}

// window is how long the octets are counted: twice the time between two reports of a node.
const window = 20 * time.Second

// idle is what idle agents were sent.
type idle struct {
	agents int
	// quiet is octets a second for each while nothing happens, more how many more octets for each and for each ADD while others have some.
	quiet, more float64
	adds        int
	// poolWrites are how often the pool was written meanwhile.
	poolWrites float64
}

// measure counts while nothing happens, and while a pod after another is bound, attached and removed on another node.
func (s *idlers) measure(ctx context.Context, l *lane, round int) (idle, error) {
	m := idle{agents: len(s.agents)}
	key := "/registry/macpool.dev/macpools/" + l.network
	if err := s.unwritten(ctx, l.w, key); err != nil {
		return m, err
	}
	begin := s.received.Load()
	if err := rig.Pause(ctx, window); err != nil {
		return m, err
	}
	quiet := float64(s.received.Load()-begin) / float64(m.agents)
	m.quiet = quiet / window.Seconds()
	before, err := etcd{l.w.API.Etcd}.version(ctx, key)
	if err != nil {
		return m, err
	}
	begin = s.received.Load()
	for end := time.Now().Add(window); time.Now().Before(end); m.adds++ {
		name := fmt.Sprintf("%s-idle-%d-%d-%d", l.network, m.agents, round, m.adds)
		if _, err := l.bindOne(ctx, name); err != nil {
			return m, err
		}
		if _, err := l.attach(ctx, l.pods[len(l.pods)-1]); err != nil {
			return m, err
		}
	}
	l.pods = nil
	m.more = (float64(s.received.Load()-begin)/float64(m.agents) - quiet) / float64(m.adds)
	after, err := etcd{l.w.API.Etcd}.version(ctx, key)
	m.poolWrites = after - before
	return m, err
}

// unwritten waits until the pool was not written for a while: what new nodes report of their links has been counted then.
func (s *idlers) unwritten(ctx context.Context, w *world, key string) error {
	last := -1.0
	for range 6 {
		now, err := etcd{w.API.Etcd}.version(ctx, key)
		if err != nil || now == last {
			return err
		}
		last = now
		if err := rig.Pause(ctx, window/2); err != nil {
			return err
		}
	}
	return nil
}
