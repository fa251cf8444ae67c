// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
)

// When is the flag --at: a time of the past.
type When struct{ text string }

// AddTo adds the flag to a command.
func (w *When) AddTo(c *cobra.Command) {
	c.Flags().StringVar(&w.text, "at", "", "Tell how it was at this time: 2026-11-26T10:00:00Z, \"2026-11-26 10:00\" in local time, or so long ago, such as 90m, 2h or 3d.")
}

// forms are those of a time in the zone of whoever asks.
var forms = []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"}

// Time is the time that was asked for; zero if none was.
func (w *When) Time(f *Factory) (time.Time, error) {
	if w.text == "" {
		return time.Time{}, nil
	}
	now := f.Clock.Now()
	at, ok := parseTime(w.text, now, f.zone())
	switch {
	case !ok:
		return time.Time{}, fmt.Errorf("--at %q is not a time: write 2026-11-26T10:00:00Z, \"2026-11-26 10:00\", or so long ago as 90m, 2h or 3d", w.text)
	case at.After(now):
		return time.Time{}, fmt.Errorf("--at %s has not come yet: ask for a time of the past", f.Stamp(at))
	}
	return at, nil
}

func parseTime(text string, now time.Time, zone *time.Location) (time.Time, bool) {
	text = strings.TrimSpace(text)
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, true
	}
	for _, form := range forms {
		if at, err := time.ParseInLocation(form, text, zone); err == nil {
			return at, true
		}
	}
	if days, found := strings.CutSuffix(text, "d"); found {
		n, err := strconv.ParseFloat(days, 64)
		return now.Add(-time.Duration(n * float64(24*time.Hour))), err == nil && n >= 0
	}
	ago, err := time.ParseDuration(text)
	return now.Add(-ago), err == nil && ago >= 0
}

// Stamp is a time as it is shown to people, in their zone, and as --at takes it.
func (f *Factory) Stamp(t time.Time) string { return t.In(f.zone()).Format("2006-01-02 15:04:05") }

// Ago is for how long something is so, as kubectl shows ages.
func (f *Factory) Ago(t time.Time) string { return duration.HumanDuration(f.Clock.Since(t)) }

// zone is that in which times are shown.
func (f *Factory) zone() *time.Location {
	if f.Zone != nil {
		return f.Zone
	}
	return time.Local
}
