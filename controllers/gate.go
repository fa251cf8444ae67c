// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"time"

	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/timeline"
)

// Gate tells whether the API server may be believed about a pool's addresses: nil if so. While it may not, no address is given
// out, cools down or is taken back, and no claim is deleted. A nil Gate always believes it.
type Gate func(ctx context.Context, pool string) error

// retryClosed is the time between two looks at a gate that is closed.
const retryClosed = 2 * time.Second

// closed is how long to wait before the gate is asked again, zero if it is open.
func (g Gate) closed(ctx context.Context, pool string) (time.Duration, error) {
	if g == nil {
		return 0, nil
	}
	err := g(ctx, pool)
	switch {
	case err == nil:
		return 0, nil
	case isUnsettled(err), problem.AllocationPaused.Is(err):
		return retryClosed, nil
	default:
		return 0, err
	}
}

// isUnsettled tells whether nobody knows yet if the API server has gone back in time. It passes within seconds, and is not
// worth a condition or an event.
func isUnsettled(err error) bool {
	var u *timeline.Unsettled
	return errors.As(err, &u)
}
