// SPDX-License-Identifier: Apache-2.0

package pressure

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"some avg10=67.09 avg60=50.67 avg300=60.42 total=9525823639\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n": 9525823639 * time.Microsecond,
		"":                  0,
		"some avg10=0.00\n": 0,
	} {
		if got := parse(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
