// SPDX-License-Identifier: Apache-2.0

// Package core measures the index of what is leased, by the benchmarks of internal/allocator: what a pick costs in a pool that is empty, full
// or large.
package core

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
)

// operation is a benchmark of internal/allocator.
type operation struct{ benchmark, name string }

var operations = []operation{
	{"BenchmarkPickRelease", "pick, release"},
	{"BenchmarkReserveRelease", "reserve, release"},
	{"BenchmarkLease", "life of a lease"},
}

// pool is one of its pools.
type pool struct{ benchmark, name string }

const (
	empty     = "/16, empty"
	nearlyAll = "/16, 99 % full"
	large     = "/8, sparse"
)

var pools = []pool{
	{"empty-16", empty},
	{"half-full-16", "/16, half full"},
	{"99%-full-16", nearlyAll},
	{"sparse-8", large},
	{"sparse-64", "/64, sparse"},
}

// cost are the three figures of an operation on a pool.
type cost struct{ time, octets, allocations *measure.Series }

// Run is the section.
func Run(ctx context.Context, r *rig.Rig) (*measure.Result, error) {
	dir, err := os.MkdirTemp("", "macpool-core-")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program := filepath.Join(dir, "allocator.test")
	r.Say("building the benchmarks")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-trimpath", "-o", program, "./internal/allocator") //nolint:gosec // a package of ours
	build.Dir, build.Stdout, build.Stderr = r.Options.Root, os.Stderr, os.Stderr
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("building the benchmarks: %w", err)
	}
	costs := map[operation]map[pool]*cost{}
	var turns []measure.Candidate
	for _, o := range operations {
		costs[o] = map[pool]*cost{}
		for _, p := range pools {
			name := o.name + ", " + p.name
			c := &cost{
				time:   &measure.Series{Name: name + ": time", Unit: "ns/op"},
				octets: &measure.Series{Name: name + ": octets", Unit: "B/op"}, allocations: &measure.Series{Name: name + ": allocations", Unit: "allocs/op"},
			}
			costs[o][p] = c
			turns = append(turns, measure.Candidate{Name: name, Round: func(ctx context.Context, round int) error {
				return c.measure(ctx, program, o.benchmark+"/"+p.benchmark, round)
			}})
		}
	}
	if err := measure.InTurn(ctx, r.Rounds, turns, r.Say); err != nil {
		return nil, err
	}
	return result(costs, r.Rounds), nil
}

// measure runs one benchmark in a process of its own, three times: the pool is filled anew, and another map's order is another order.
func (c *cost) measure(ctx context.Context, program, benchmark string, round int) error {
	pattern := anchored(benchmark)
	cmd := exec.CommandContext(ctx, program, "-test.run=^$", "-test.bench="+pattern, "-test.benchtime=200ms", "-test.count=3", "-test.cpu=1") //nolint:gosec // built above
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s: %w: %s", pattern, err, out.Bytes())
	}
	found, err := parse(out.Bytes(), benchmark)
	if err != nil {
		return err
	}
	for _, f := range found {
		c.time.Add(round, f.nanoseconds)
		c.octets.Add(round, f.octets)
		c.allocations.Add(round, f.allocations)
	}
	return nil
}
