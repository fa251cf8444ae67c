// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/wire"
)

// T8, R-L4, F31: a pod with CAP_NET_RAW, or any other host, claims the address of a running pod by ARP. Pod and claim get an event, the node reports it, a metric counts it, and nothing is
// taken from the pod: its lease is as it was.
func TestT8StrangerComesLater(t *testing.T) {
	f, s := newFixture(t), newSegment()
	n := s.startNode(t)
	pod := f.newPod(t, "web", n.name, "")
	resp := n.ask(t, f.onVLAN("c1", pod))
	if resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	ip := resp.Lease.IPs[0].Address.Addr()
	before := f.lease(t, resp.Lease.Name)
	eventually(t, "the address to be listened for", func() error {
		n.agent.watcher.mu.Lock()
		defer n.agent.watcher.mu.Unlock()
		if _, ok := n.agent.watcher.targets[vlanLink][ip]; !ok {
			return errors.New("not yet")
		}
		return nil
	})
	for _, h := range []wire.Heard{
		{IP: ip, MAC: resp.Lease.MAC},                              // the pod itself, on a bridge
		{IP: ip, MAC: rogueMAC, Probe: true},                       // it is defended by the pod's kernel
		{IP: netip.MustParseAddr("192.168.50.254"), MAC: rogueMAC}, // nobody's here
		{IP: ip.Next(), MAC: rogueMAC},
	} {
		s.heard <- h
	}
	for range 3 { // it goes on, and is said once
		s.heard <- wire.Heard{IP: ip, MAC: rogueMAC}
	}
	s.heard <- wire.Heard{}
	if got := n.agent.watcher.total.Load(); got != 1 {
		t.Errorf("%d strangers were counted, want one", got)
	}
	f.awaitEvent(t, pod, problem.StrangerHeard)
	f.awaitEvent(t, f.claimOf(t, pod), problem.StrangerHeard)
	reported := func() []v1alpha1.Stranger {
		node := &v1alpha1.MacNode{}
		f.must(t, f.Get(t.Context(), types.NamespacedName{Name: n.name}, node))
		return node.Status.Strangers
	}
	eventually(t, "the node's report", func() error {
		got := reported()
		if len(got) != 1 || got[0].LeaseName != resp.Lease.Name || got[0].PoolName != f.pool.Name || string(got[0].IP) != ip.String() ||
			got[0].MAC != rogueMAC || got[0].SeenAt.IsZero() {
			return fmt.Errorf("reported %+v", got)
		}
		return nil
	})
	if diff := cmp.Diff(before, f.lease(t, resp.Lease.Name)); diff != "" {
		t.Errorf("the lease was changed (-before +after):\n%s", diff)
	}
	del(t, n, "c1")
	eventually(t, "the stranger to be nobody's concern", func() error {
		n.agent.reporter.kick()
		if got := reported(); len(got) > 0 {
			return fmt.Errorf("reported %+v", got)
		}
		return nil
	})
}

// crowd is a VLAN on which two clusters ask for one address: who probes hears who probes at the same time, and who has it.
type crowd struct {
	mu     sync.Mutex
	asking map[string]bool   // node -> its probe is under way
	met    map[string]string // node -> the MAC of one that probes as well
	has    string            // the node whose pod is up with the address
	ears   map[string]chan wire.Heard
}

func macOf(node string) string { return "02:00:00:00:01:" + node[len(node)-2:] }

func (c *crowd) ask(_ context.Context, node string, q wire.Query) (string, error) {
	c.mu.Lock()
	if c.has != "" && c.has != node {
		defer c.mu.Unlock()
		return macOf(c.has), nil
	}
	delete(c.met, node)
	for other := range c.asking {
		c.met[node], c.met[other] = macOf(other), macOf(node)
	}
	c.asking[node] = true
	for other, ear := range c.ears {
		if other != node {
			select {
			case ear <- wire.Heard{IP: q.IPs[0], MAC: macOf(node), Probe: true}:
			default:
			}
		}
	}
	c.mu.Unlock()
	time.Sleep(100 * time.Millisecond) // the time that a question takes
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.asking, node)
	if c.has != "" && c.has != node {
		return macOf(c.has), nil
	}
	return c.met[node], nil
}

// crowdEar hears the probes of others.
type crowdEar struct {
	heard chan wire.Heard
	end   chan struct{}
	once  sync.Once
}

func (e *crowdEar) Join(netip.Addr) error { return nil }
func (e *crowdEar) Close()                { e.once.Do(func() { close(e.end) }) }
func (e *crowdEar) Run(hear func(wire.Heard)) error {
	for {
		select {
		case h := <-e.heard:
			hear(h)
		case <-e.end:
			return nil
		}
	}
}

// R-L1, R-B3, F32: two nodes of two clusters ask for one address at the same time. At most one of them attaches a pod with it.
func TestTwoProbeAtOnce(t *testing.T) {
	c := &crowd{asking: map[string]bool{}, met: map[string]string{}, ears: map[string]chan wire.Heard{}}
	const ip = "192.168.50.77"
	var attaching sync.WaitGroup
	results := make(chan string, 2)
	var nodes []*node
	var adds []func()
	for range 2 {
		f := newFixture(t) // a cluster of its own, as far as leases are concerned
		n := newNode(t)
		heard := make(chan wire.Heard, 64)
		c.ears[n.name] = heard
		n.vlan = func(ctx context.Context, _ string, q wire.Query) (string, error) {
			if q.Question {
				return "", nil
			}
			return c.ask(ctx, n.name, q)
		}
		n.equip = func(a *Agent) {
			a.hear = func(string) (Ear, error) { return &crowdEar{heard: heard, end: make(chan struct{})}, nil }
		}
		n.start(t)
		n.awaitReady(t)
		pod := f.newPod(t, "web", n.name, "")
		nodes = append(nodes, n)
		adds = append(adds, func() {
			req := f.onVLAN("c-"+n.name, pod)
			req.Wish.IPs = []string{ip}
			resp, _, err := tryAsk(t.Context(), n.socket, req)
			if err != nil {
				t.Error(err)
				return
			}
			if resp.Error != nil {
				if err := isProblem(resp, problem.AddressConflict); err != nil {
					t.Error(err)
				}
				return
			}
			c.mu.Lock() // its interface comes up
			defer c.mu.Unlock()
			if c.has == "" {
				c.has = n.name
			}
			results <- n.name
		})
	}
	for _, add := range adds {
		attaching.Go(add)
	}
	attaching.Wait()
	close(results)
	var attachedOn []string
	for name := range results {
		attachedOn = append(attachedOn, name)
	}
	if len(attachedOn) > 1 {
		t.Errorf("both have %s: %v of %v", ip, attachedOn, nodes)
	}
}
