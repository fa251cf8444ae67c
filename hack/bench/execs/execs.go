// SPDX-License-Identifier: Apache-2.0

// Package execs measures what it costs to execute a plugin at all. Each is called as the IPAM plugin of a macvlan that runs it by libcni:
// with pipes for its standard input and output. macpool's agent is a double that answers at once with the same lease, so that only what
// the plugin itself does is measured.
package execs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
)

// perRound is how often each plugin is called with each verb in a round.
const perRound = 100

// verbs in the order in which one pod calls them.
var verbs = []string{"VERSION", "ADD", "DEL"}

// baseline does nothing at all: what it costs, each plugin in Go does.
const baseline = "skelonly"

// Run is the section.
func Run(ctx context.Context, r *rig.Rig) (*measure.Result, error) {
	dir, err := os.MkdirTemp("", "macpool-execs-") // short enough for a socket
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	agent, err := startAgent(ctx, filepath.Join(dir, "agent.sock"))
	if err != nil {
		return nil, err
	}
	defer agent.stop()
	pod, err := newPod()
	if err != nil {
		return nil, err
	}
	defer pod.close()
	r.Say("building %s", baseline)
	all, err := candidates(ctx, r, dir)
	if err != nil {
		return nil, err
	}
	env := pod.env(agent.socket, dir)
	for _, c := range all {
		// Once beforehand: what only the first call pays, of the page cache and of host-local's directory, is nobody's cost per exec.
		if err := c.cycle(ctx, pod, env, func(string, *spent) {}); err != nil {
			return nil, fmt.Errorf("trying %s: %w", c.name, err)
		}
		if err := c.weigh(ctx, pod, env); err != nil {
			return nil, fmt.Errorf("weighing %s: %w", c.name, err)
		}
	}
	var turns []measure.Candidate
	for _, c := range all {
		turns = append(turns, measure.Candidate{Name: c.name, Round: func(ctx context.Context, round int) error {
			for range perRound {
				err := c.cycle(ctx, pod, env, func(verb string, s *spent) { c.costs[verb].add(round, s) })
				if err != nil {
					return err
				}
			}
			return nil
		}})
	}
	if err := measure.InTurn(ctx, r.Rounds, turns, r.Say); err != nil {
		return nil, err
	}
	return result(all, r.Rounds), nil
}
