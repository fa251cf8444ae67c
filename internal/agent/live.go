// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/timeline"
)

// Backoff between two tries of a call to the API.
const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = time.Second
)

// live calls the API until it gives an answer that repeating would not change, for at most the part of an ADD that the API
// may have. Then it is APIUnreachable.
func (a *Agent) live(ctx context.Context, call func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, a.times.API)
	defer cancel()
	return a.retry(limited, call)
}

// retry calls until the error is not a transient one, or ctx ends.
func (a *Agent) retry(ctx context.Context, call func(context.Context) error) error {
	backoff := firstBackoff
	for {
		err := call(ctx)
		if err == nil || !transient(err) {
			return err
		}
		a.metrics.retries.WithLabelValues(retryCause(err)).Inc()
		// Full jitter: agents that lost the API together come back apart.
		if a.pause(ctx, a.jitter(backoff)+backoff/2) != nil {
			var u *timeline.Unsettled
			if errors.As(err, &u) && u.Pool != "" {
				return problem.AllocationPaused.New(u.Pool, u).WithCause(err)
			}
			var other *binding.AnotherNodesError
			if errors.As(err, &other) {
				return problem.NotItsNode.New("node "+a.nodeName, "UPDATE of lease "+other.Lease).WithCause(err)
			}
			return problem.APIUnreachable.New(a.nodeName, cause(err)).WithCause(err)
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// transient tells whether the same call may succeed in a moment. What is no answer of the API server never reached it or
// got lost on the way back.
func transient(err error) bool {
	if problem.As(err) != nil {
		return false
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	switch code := status.Status().Code; code {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusConflict, http.StatusGone, http.StatusTooManyRequests:
		return true
	default:
		return code >= http.StatusInternalServerError
	}
}

// retryCause is why a call is made again, as the metric calls it.
func retryCause(err error) string {
	var u *timeline.Unsettled
	if errors.As(err, &u) {
		return "doubted"
	}
	var other *binding.AnotherNodesError
	if errors.As(err, &other) {
		return "conflict"
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return "unreachable"
	}
	switch status.Status().Code {
	case http.StatusConflict:
		return "conflict"
	case http.StatusTooManyRequests:
		return "busy"
	case http.StatusUnauthorized:
		return "unauthorized"
	default:
		return "failed"
	}
}

// cause is what a person needs of an error that many layers have wrapped.
func cause(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it does not answer in time"
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
