// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"time"

	"k8s.io/utils/clock"
)

// wrongClock is by how much a clock that is wrong is wrong.
const wrongClock = time.Hour

// wrongClocks are drawn from.
var wrongClocks = []time.Duration{0, wrongClock, -wrongClock}

// processClock is the clock of a process whose machine's wall clock is wrong by a constant (F13): set while the machine was off, say. What
// waits, waits as long as everywhere.
type processClock struct {
	clock.RealClock

	off time.Duration
}

// Now is clock.PassiveClock's.
func (c processClock) Now() time.Time { return c.RealClock.Now().Add(c.off) }

// Since is clock.PassiveClock's.
func (c processClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
