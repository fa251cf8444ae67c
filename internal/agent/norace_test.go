// SPDX-License-Identifier: Apache-2.0

//go:build !race

package agent

// raceEnabled tells whether the race detector is on.
const raceEnabled = false
