// SPDX-License-Identifier: Apache-2.0

// Package binds measures how fast claims get their leases: by the manager, and by the agents while it is away, each beside the bare writes
// that a bind needs.
package binds

import (
	"context"
	"fmt"
	"slices"

	"github.com/macpool/macpool/hack/bench/farm"
	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
)

// nodes is how many agents bind: several, since what one can share among its callers none can share with another.
const nodes = 5

// levels are how many binds are in flight, and how many are made so in each round.
var levels = []struct{ width, count int }{{1, 60}, {10, 150}, {50, 300}}

// section is a run.
type section struct {
	*farm.Farm

	rig    *rig.Rig
	result *measure.Result
	// sandbox is the path of a network namespace: of binds nobody looks into it.
	sandbox string
}

// The candidates.
const (
	byManager   = "manager"
	asManager   = "bare writes as the manager"
	byAgents    = "agents, over their sockets"
	asAgents    = "bare writes as the agents"
	widthFormat = "%s, %d in flight"
)

// Run measures.
func Run(ctx context.Context, r *rig.Rig) (*measure.Result, error) {
	r.Options.State = r.Disk
	l, err := r.Lab(ctx)
	if err != nil {
		return nil, err
	}
	r.Say("starting the manager and %d agents", nodes)
	f, err := farm.New(ctx, l, "node", nodes)
	if err != nil {
		return nil, err
	}
	s := &section{Farm: f, rig: r, result: &measure.Result{About: about}}
	sandboxes, err := farm.MakeSandboxes(f.Nodes[0], 1, 1)
	if err != nil {
		return nil, err
	}
	if s.sandbox, err = sandboxes.Open(0, "binds"); err != nil {
		return nil, err
	}
	candidates := []measure.Candidate{
		{Name: asManager, Round: s.bareAsManager},
		{Name: byManager, Round: s.manager},
		{Name: asAgents, Round: s.bareAsAgents},
		{Name: byAgents, Round: s.agents},
	}
	if err := measure.InTurn(ctx, r.Rounds, candidates, r.Say); err != nil {
		return nil, err
	}
	s.conclude()
	if err := s.audit(ctx); err != nil {
		return nil, err
	}
	return s.result, nil
}

const about = "What a bind needs are three writes: the claim, its lease, the claim's status. The bare writes are these, with objects as macpool writes them, " +
	"with the same credentials, past the same admission policies and without a limit of the client. The manager binds what becomes due at once, so many at a time; " +
	"the agents bind while the manager is away, asked over their sockets. etcd writes to a disk, with fsync."

// add keeps what a round has shown: binds per second, and how long each took.
func (s *section) add(round int, name string, width int, w *farm.Wave, cpu map[string]float64) error {
	if len(w.Failed) > 0 {
		return fmt.Errorf("%d binds failed: %w", len(w.Failed), w.Failed[0])
	}
	rate := float64(len(w.Each)) / w.Took.Seconds()
	s.result.Get(rateOf(name, width), "binds/s").Add(round, rate)
	times := s.result.Get(timeOf(name, width), "ms")
	for _, each := range w.Each {
		times.Add(round, float64(each.Microseconds())/1000)
	}
	for program, seconds := range cpu {
		s.result.Get(cpuOf(name, width, program), "ms/bind").Add(round, 1000*seconds/float64(len(w.Each)))
	}
	s.rig.Say("  %d in flight: %.0f binds/s", width, rate)
	return nil
}

func rateOf(name string, width int) string { return fmt.Sprintf(widthFormat, name, width) + ": rate" }
func timeOf(name string, width int) string { return fmt.Sprintf(widthFormat, name, width) + ": time" }
func cpuOf(name string, width int, program string) string {
	return fmt.Sprintf(widthFormat, name, width) + ": CPU of " + program
}

// programs are whose CPU time is told.
var programs = []string{"kube-apiserver", "etcd", "manager", "agent"}

// spent is what they have used since.
func spent(before map[string]float64) map[string]float64 {
	now, used := rig.CPUSeconds(), map[string]float64{}
	for program := range now {
		if slices.Contains(programs, program) {
			used[program] = now[program] - before[program]
		}
	}
	return used
}
