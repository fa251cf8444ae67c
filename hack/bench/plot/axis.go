// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"math"
	"strconv"
)

// axis maps values to places.
type axis struct {
	log        bool
	least, top float64 // values, at the ends
	from, to   float64 // places of the ends
	ticks      []float64
}

// newAxis is an axis on which all values have a place, with ticks at round numbers, the first and the last at its ends. A linear one begins at
// zero if zero is true, so that lengths say what they seem to.
func newAxis(values []float64, log, zero bool) *axis {
	least, top := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		least, top = min(least, v), max(top, v)
	}
	a := &axis{log: log}
	switch {
	case len(values) == 0 && log:
		least, top = 1, 10
	case len(values) == 0:
		least, top = 0, 1
	}
	if log {
		a.decades(least, top)
	} else {
		if zero {
			least, top = min(least, 0), max(top, 0)
		}
		a.steps(least, top)
	}
	a.least, a.top = a.ticks[0], a.ticks[len(a.ticks)-1]
	return a
}

// drawable tells whether a value has a place: NaN is what was not measured, and nothing on a logarithmic axis is zero.
func drawable(v float64, log bool) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (!log || v > 0)
}

// steps are ticks at multiples of 1, 2 or 5 times a power of ten, about five.
func (a *axis) steps(least, top float64) {
	if top == least {
		top = least + max(math.Abs(least), 1)
	}
	power := math.Floor(math.Log10((top - least) / 5))
	base, step := math.Pow(10, power), 0.0
	for _, m := range []float64{1, 2, 5, 10} {
		if step = m * base; (top-least)/step <= 6 {
			break
		}
	}
	const slack = 1e-9 // for sums of tenths
	for i := math.Floor(least/step + slack); ; i++ {
		a.ticks = append(a.ticks, i*step)
		if i*step >= top-step*slack {
			return
		}
	}
}

// decades are ticks at powers of ten, and between them if they are few.
func (a *axis) decades(least, top float64) {
	first, last := math.Floor(math.Log10(least)), math.Ceil(math.Log10(top))
	if first == last {
		last++
	}
	between := []float64{1}
	if last-first <= 2 {
		between = []float64{1, 2, 5}
	}
	every := math.Ceil((last - first) / 8)
	for e := first; e < last; e += every {
		for _, m := range between {
			a.ticks = append(a.ticks, m*math.Pow(10, e))
		}
	}
	a.ticks = append(a.ticks, math.Pow(10, last))
}

// at is the place of a value.
func (a *axis) at(v float64) float64 {
	low, high := a.least, a.top
	if a.log {
		v, low, high = math.Log10(v), math.Log10(low), math.Log10(high)
	}
	return a.from + (v-low)/(high-low)*(a.to-a.from)
}

// number is a value for people: three digits, thousands as k, and so on.
func number(v float64) string {
	suffix := ""
	for _, s := range []struct {
		suffix string
		of     float64
	}{{"G", 1e9}, {"M", 1e6}, {"k", 1e3}} {
		if math.Abs(v) >= s.of*0.9995 { // 999.6 has three digits as 1k
			v, suffix = v/s.of, s.suffix
			break
		}
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if err != nil {
		rounded = v
	}
	return strconv.FormatFloat(rounded, 'g', -1, 64) + suffix
}
