// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"time"

	"github.com/macpool/macpool/internal/tracing"
)

// phase is a part of an ADD: a sample of the histogram of phases, and a span if the ADD is traced.
type phase struct {
	agent *Agent
	name  string
	began time.Time
	span  tracing.Span
}

// phase begins one of the metric's phases.
func (a *Agent) phase(ctx context.Context, name string) (context.Context, phase) {
	ctx, span := tracing.Child(ctx, name)
	return ctx, phase{agent: a, name: name, began: a.clock.Now(), span: span}
}

// end ends the phase, with what it came to.
func (p phase) end(err error) {
	p.agent.metrics.phases.WithLabelValues(p.name).Observe(p.agent.clock.Since(p.began).Seconds())
	p.span.End(err)
}
