// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"

	"github.com/macpool/macpool/internal/metric"
	"github.com/macpool/macpool/internal/problem"
)

// ready waits until the agent has read the cluster, and has compared what is attached here with it.
func (t *addition) ready(ctx context.Context) (err error) {
	ctx, phase := t.phase(ctx, metric.PhaseReady)
	defer func() { phase.end(err) }()
	if err := t.awaitReady(ctx); err != nil {
		return err
	}
	return t.awaitJudged(ctx)
}

// awaitReady lets an ADD that met a starting agent wait a little: its kubelet would be back after ten seconds only.
func (a *Agent) awaitReady(ctx context.Context) error {
	timer := a.clock.NewTimer(a.times.ReadyWait)
	defer timer.Stop()
	select {
	case <-a.ready:
		return nil
	default:
	}
	select {
	case <-a.ready:
		return nil
	case <-timer.C():
	case <-ctx.Done():
	}
	return problem.APIUnreachable.New(a.nodeName, errNotReady).WithCause(errNotReady)
}

// errUnjudged: the API was silent for long, and what is attached here was not compared with it since.
var errUnjudged = errors.New("the API was silent, and what is attached here was not compared with it since")

// awaitJudged waits until all that is attached here was compared with the API since it answers again, and what has lost its
// address is removed (R-G7). It asks the API for an answer if there was none for long.
func (a *Agent) awaitJudged(ctx context.Context) error {
	if a.contact.isJudged() {
		return nil
	}
	return a.live(ctx, func(ctx context.Context) error {
		if !a.contact.inside() {
			if err := a.beat(ctx); err != nil {
				return err
			}
		}
		a.fence.await(ctx, compareRetry)
		if !a.contact.isJudged() {
			return errUnjudged
		}
		return nil
	})
}
