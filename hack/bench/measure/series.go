// SPDX-License-Identifier: Apache-2.0

// Package measure keeps what a benchmark has measured, all of it, and says what follows: quantiles, ratios within one run, and whether a
// target is met. It knows nothing of what is measured.
package measure

import (
	"math"
	"slices"
)

// Series are the values of one candidate, by rounds, in the order in which they were measured.
type Series struct {
	Name   string      `json:"name"`
	Unit   string      `json:"unit"`
	Rounds [][]float64 `json:"rounds"`
}

// Add appends values to the round, which begins at 0.
func (s *Series) Add(round int, values ...float64) {
	for len(s.Rounds) <= round {
		s.Rounds = append(s.Rounds, nil)
	}
	s.Rounds[round] = append(s.Rounds[round], values...)
}

// Quantile is the median, over the rounds, of the quantile within each; q is between 0 and 1, 1 for the greatest value. NaN without values.
func (s *Series) Quantile(q float64) float64 {
	var each []float64
	for _, values := range s.Rounds {
		if len(values) > 0 {
			each = append(each, quantile(values, q))
		}
	}
	return Median(each)
}

// Ratio is the median, over the rounds, of how often b's quantile goes into a's of the same round: what the machine did besides in a round
// has met both. NaN if they share no round.
func Ratio(a, b *Series, q float64) float64 {
	var each []float64
	for i := range min(len(a.Rounds), len(b.Rounds)) {
		if len(a.Rounds[i]) > 0 && len(b.Rounds[i]) > 0 {
			each = append(each, quantile(a.Rounds[i], q)/quantile(b.Rounds[i], q))
		}
	}
	return Median(each)
}

// Median of values that need no order; NaN of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[half-1] + sorted[half]) / 2
	}
	return sorted[half]
}

// quantile is the nearest rank: a value that was measured, so that no p99 lies between two.
func quantile(values []float64, q float64) float64 {
	if q == 0.5 {
		return Median(values)
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
