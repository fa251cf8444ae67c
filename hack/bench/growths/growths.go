// SPDX-License-Identifier: Apache-2.0

// Package growths measures what becomes of macpool in a cluster that has grown: with many leases, in large pools, with many pools, and
// with many nodes.
package growths

import (
	"context"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
)

const (
	few, some, many = 100, 10_000, 100_000

	podsOfRound = 6   // of each lane
	podsOfNode  = 110 // as many as a kubelet runs

	// The VLANs of the small cluster begin at 50, those of the large one, on the same switch, at 80.
	smallVLAN, largeVLAN = 50, 80
)

// growth is the section while it runs.
type growth struct {
	*rig.Rig

	small, large *world
	starts       []started
	lanes        []*lane // of the small cluster's pool first, then of the large one's
	quick        []*lane
	pools        []pooled
	idle         []idle
	costs        *costs
	node         rig.Memory // of the agent of a full node
	etcd         float64
}

// pooled is a cluster with so many pools, beside the large one at the same time.
type pooled struct {
	pools          int
	small, control *lane
}

// Run is the section.
func Run(ctx context.Context, r *rig.Rig) (*measure.Result, error) {
	r.Options.State = r.Disk
	g := &growth{Rig: r}
	for _, step := range []func(context.Context) error{g.begin, g.fill, g.add, g.fillNode, g.addPools, g.addNodes} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return g.result(), nil
}

// begin starts two clusters.
func (g *growth) begin(ctx context.Context) error {
	g.Say("starting two clusters")
	l, err := g.Lab(ctx)
	if err != nil {
		return err
	}
	if g.small, err = settle(ctx, l, "small", smallVLAN, smallVLAN+1, smallVLAN+2, smallVLAN+3, smallVLAN+4); err != nil {
		return err
	}
	other, err := l.Beside("large")
	if err != nil {
		return err
	}
	g.large, err = settle(ctx, other, "large", largeVLAN, largeVLAN+1)
	return err
}

// fill stores leases, and starts the manager on them.
func (g *growth) fill(ctx context.Context) error {
	for _, to := range []struct {
		w      *world
		leases int
		starts int
	}{{g.small, few, 1}, {g.large, some, 1}, {g.large, many, min(3, g.Rounds)}} {
		size, err := etcd{to.w.API.Etcd}.size(ctx)
		if err != nil {
			return err
		}
		if err := to.w.Manager.Stop(ctx); err != nil { // what is stored is not to be work for it, one by one
			return err
		}
		from := to.w.leases
		g.Say("storing %d leases, with claims and pods", to.leases-from)
		if err := to.w.grow(ctx, to.leases); err != nil {
			return err
		}
		grown, err := etcd{to.w.API.Etcd}.size(ctx)
		if err != nil {
			return err
		}
		g.etcd = float64(grown-size) / float64(to.leases-from)
		for range to.starts {
			s, err := to.w.restart(ctx)
			if err != nil {
				return err
			}
			g.Say("%d leases: ready after %.1f s, %.0f MB anonymous, %.0f MB at most, heap %.0f MB, %.1f s of CPU until it is at rest",
				s.leases, s.ready, s.memory.Anonymous/1e6, s.memory.Peak/1e6, s.heap/1e6, s.cpu)
			g.starts = append(g.starts, s)
		}
		if err := to.w.known(ctx); err != nil {
			return err
		}
	}
	return nil
}

// add has pods attached in turn: with few and with many leases, and in pools of other sizes.
func (g *growth) add(ctx context.Context) error {
	for i, pool := range []struct {
		name string
		cidr v1alpha1.CIDR
		mode v1alpha1.ConflictMode
	}{
		{"p24", "10.0.0.0/24", v1alpha1.ConflictProbe},
		{"p16", "10.0.0.0/16", v1alpha1.ConflictProbe},
		{"p64", "fd00:50::/64", v1alpha1.ConflictProbe},
		{quickPool, "10.0.0.0/16", v1alpha1.ConflictOff},
	} {
		if err := g.small.addPool(ctx, pool.name, smallVLAN+1+i, pool.cidr, pool.mode); err != nil {
			return err
		}
	}
	if err := g.large.addPool(ctx, quickPool, largeVLAN+1, "10.0.0.0/16", v1alpha1.ConflictOff); err != nil {
		return err
	}
	g.lanes = []*lane{
		newLane(fmt.Sprintf("%d leases, /8", few), g.small, poolName), newLane(fmt.Sprintf("%d leases, /8", many), g.large, poolName),
		newLane("/24", g.small, "p24"), newLane("/16", g.small, "p16"), newLane("/64", g.small, "p64"),
	}
	g.quick = []*lane{newLane(fmt.Sprintf("%d leases", few), g.small, quickPool), newLane(fmt.Sprintf("%d leases", many), g.large, quickPool)}
	for round := range g.Rounds {
		g.Say("round %d of %d: pods in turn, in clusters of %d and %d leases and in pools of all sizes", round+1, g.Rounds, few, many)
		if err := run(ctx, g.lanes, "turn", round, podsOfRound); err != nil {
			return err
		}
		if err := runUnbound(ctx, g.quick, round, podsOfRound); err != nil {
			return err
		}
	}
	var err error
	g.costs, err = g.lanes[0].measureCosts(ctx)
	return err
}

// fillNode has as many pods on a node of the large cluster as a kubelet runs, and looks at its agent.
func (g *growth) fillNode(ctx context.Context) error {
	g.Say("%d pods on one node", podsOfNode)
	var group errgroup.Group
	group.SetLimit(4)
	for i := range podsOfNode {
		group.Go(func() error {
			pod := lab.NewPod(passing, fmt.Sprintf("full-%d", i), namespace+"/"+quickPool)
			if err := g.large.CreatePod(ctx, pod, g.large.node); err != nil {
				return err
			}
			_, err := g.large.RunPodRetrying(ctx, pod, g.large.node)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("filling a node: %w", err)
	}
	if err := rig.Pause(ctx, window); err != nil {
		return err
	}
	var err error
	g.node, err = rig.MemoryOf(g.large.node.Agent.PID())
	return err
}

// addPools has pods attached in the small cluster when it has more pools, in turn with the large one, which stays as it is.
func (g *growth) addPools(ctx context.Context) error {
	made := 0
	for _, pools := range []int{1, 10, 1000} {
		g.Say("%d pools", pools)
		var group errgroup.Group
		group.SetLimit(8)
		for ; made < pools-1; made++ {
			i := made
			group.Go(func() error {
				return g.small.Client.Create(ctx, newPool(fmt.Sprintf("more-%04d", i), 100+i, "10.0.0.0/24"))
			})
		}
		if err := group.Wait(); err != nil {
			return fmt.Errorf("creating pools: %w", err)
		}
		s, err := g.small.restart(ctx)
		if err != nil {
			return err
		}
		g.Say("%d pools: ready after %.1f s, %.0f MB anonymous", pools, s.ready, s.memory.Anonymous/1e6)
		p := pooled{pools, newLane(fmt.Sprintf("%d pools", pools), g.small, poolName), newLane(fmt.Sprintf("beside %d pools", pools), g.large, poolName)}
		for round := range max(1, g.Rounds/2) {
			if err := run(ctx, []*lane{p.small, p.control}, fmt.Sprintf("of%d", pools), round, podsOfRound); err != nil {
				return err
			}
		}
		g.pools = append(g.pools, p)
	}
	return nil
}

// addNodes counts what agents are sent that have nothing to do with an ADD.
func (g *growth) addNodes(ctx context.Context) error {
	idlers := &idlers{w: g.large, dir: filepath.Join(g.large.Dir, "idle")}
	for _, nodes := range []int{1, 10, 100} {
		if err := idlers.grow(ctx, nodes); err != nil {
			return err
		}
		m, err := idlers.measure(ctx, g.lanes[1], nodes)
		if err != nil {
			return err
		}
		g.Say("%d idle agents: %.0f octets a second for each, %.0f more for each of %d ADDs elsewhere; the pool was written %.0f times", m.agents, m.quiet, m.more, m.adds, m.poolWrites)
		g.idle = append(g.idle, m)
	}
	return nil
}
