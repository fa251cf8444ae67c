// SPDX-License-Identifier: Apache-2.0

package timeline

import (
	"testing"
	"time"
)

// TestElapsed proves that of two clocks that disagree the longer time counts.
func TestElapsed(t *testing.T) {
	then := time.Now()
	later := then.Add(3 * time.Second)
	if got := Elapsed(later, then); got != 3*time.Second {
		t.Errorf("both clocks: %s", got)
	}
	// A suspended machine: the monotonic clock stood, the wall clock did not.
	if got := Elapsed(then, then.Round(0).Add(-time.Minute)); got < time.Minute {
		t.Errorf("wall clock ahead: %s, want a minute", got)
	}
}
