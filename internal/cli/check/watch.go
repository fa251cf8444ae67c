// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"slices"
	"time"

	"github.com/macpool/macpool/internal/invariants"
)

// lookAgain is the longest time between two readings: what is mended meanwhile need not be waited for.
const lookAgain = 10 * time.Second

// reading is the world, and the nodes whose agents could not be asked.
type reading struct {
	*invariants.World

	unasked []error
}

// watch reads until each difference of the first reading is gone, or has lasted for so long that it is a violation.
type watch struct {
	read  func(context.Context) (*reading, error)
	pause func(context.Context, time.Duration) error
	now   func() time.Time
	say   func(format string, args ...any)
}

// result is what is left of the first reading's differences.
type result struct {
	*reading

	violations []invariants.Violation
	remarks    []string
	// passed is how many differences were mended, or written, while they were looked at.
	passed int
}

// run compares. What comes up after the first reading is left for the next run, so that this one ends however much goes on.
func (w *watch) run(ctx context.Context) (*result, error) {
	first, err := w.read(ctx)
	if err != nil {
		return nil, err
	}
	began := w.now()
	found := invariants.Judge(first.World)
	r := &result{reading: first, remarks: found.Remarks}
	open := found.Violations
	for len(open) > 0 {
		soonest, longest := open[0].Settle, time.Duration(0)
		for i := range open {
			soonest, longest = min(soonest, open[i].Settle), max(longest, open[i].Settle)
		}
		since := w.now().Sub(began)
		wait := min(max(soonest-since, 0), lookAgain)
		w.say("%s; looking again in %s, and for %s at most, whether macpool mends that…",
			count(len(open), "difference"), wait.Round(time.Second), max(longest-since, 0).Round(time.Second))
		if err := w.pause(ctx, wait); err != nil {
			return nil, err
		}
		age := w.now().Sub(began)
		again, err := w.read(ctx)
		if err != nil {
			return nil, err
		}
		now := invariants.Judge(again.World)
		var left []invariants.Violation
		for i := range open {
			switch {
			case !slices.ContainsFunc(now.Violations, func(v invariants.Violation) bool { return open[i].Same(&v) }):
				r.passed++
			case age >= open[i].Settle:
				r.violations = append(r.violations, open[i])
			default:
				left = append(left, open[i])
			}
		}
		open = left
	}
	return r, nil
}
