// SPDX-License-Identifier: Apache-2.0

// Package adds measures ADD and DEL as a runtime sees them: by libcni, through macvlan, with macpool and with what else gives pods addresses.
package adds

import (
	"context"
	"fmt"
	"time"

	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
)

// level is how many callers there are at a time, and how many pods they attach in a round.
type level struct{ callers, pods int }

var levels = []level{{1, 40}, {10, 60}, {50, 100}}

// Run is the section of the times.
func Run(ctx context.Context, r *rig.Rig) (*measure.Result, error) {
	w, err := newWorld(ctx, r)
	if err != nil {
		return nil, err
	}
	kinds, err := w.kinds(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.warmUp(ctx, &kinds[0]); err != nil {
		return nil, err
	}
	found := newFindings(kinds)
	candidates := make([]measure.Candidate, len(kinds))
	for i := range kinds {
		candidates[i] = measure.Candidate{Name: kinds[i].name, Round: func(ctx context.Context, round int) error {
			return w.round(ctx, &kinds[i], round, found)
		}}
	}
	if err := measure.InTurn(ctx, r.Rounds, candidates, r.Say); err != nil {
		return nil, fmt.Errorf("%w; the agent's log ends:\n%s", err, w.node.Agent.Tail(15))
	}
	r.Say("%d pods at once", most)
	full, err := w.full(ctx, &kinds[0])
	if err != nil {
		return nil, err
	}
	return found.result(full), nil
}

// warmUp waits until the agent has reported its node, before which it answers nothing from its caches, and attaches some pods.
func (w *world) warmUp(ctx context.Context, k *kind) error {
	const reported = 12 * time.Second
	w.Say("warming up")
	if err := rig.Pause(ctx, reported); err != nil {
		return err
	}
	jobs, err := k.prepare(ctx, 10)
	if err != nil {
		return err
	}
	if _, _, err := w.attach(ctx, 1, jobs); err != nil {
		return err
	}
	return k.finish(ctx, jobs)
}

// round attaches and detaches pods of a kind at each level.
func (w *world) round(ctx context.Context, k *kind, round int, found *findings) error {
	for _, l := range levels {
		if k.crowdOnly && l != levels[len(levels)-1] {
			continue
		}
		jobs, err := k.prepare(ctx, l.pods)
		if err != nil {
			return err
		}
		add, del, err := w.attach(ctx, l.callers, jobs)
		if err != nil {
			return fmt.Errorf("%d callers: %w", l.callers, err)
		}
		found.add(k, l, round, verbADD, add)
		found.add(k, l, round, verbDEL, del)
		if k.finish != nil {
			if err := k.finish(ctx, jobs); err != nil {
				return err
			}
		}
	}
	return nil
}
