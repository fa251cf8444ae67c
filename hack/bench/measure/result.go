// SPDX-License-Identifier: Apache-2.0

package measure

import "fmt"

// Result is what one section of the benchmarks has found.
type Result struct {
	Section string `json:"section"`
	// About says in some sentences what was measured and how, for who reads the figures.
	About string `json:"about"`
	// Conditions say when, and on what a machine; the program fills them in.
	Conditions string `json:"conditions,omitempty"`

	Tables  []Table   `json:"tables,omitempty"`
	Targets []Target  `json:"targets,omitempty"`
	Charts  []Chart   `json:"charts,omitempty"`
	Series  []*Series `json:"series"` // the raw data
}

// Find is the series of the name; nil if there is none.
func (r *Result) Find(name string) *Series {
	for _, s := range r.Series {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Get is the series of the name, new if there is none.
func (r *Result) Get(name, unit string) *Series {
	if s := r.Find(name); s != nil {
		return s
	}
	s := &Series{Name: name, Unit: unit}
	r.Series = append(r.Series, s)
	return s
}

// Table is for people.
type Table struct {
	Title  string     `json:"title"`
	Header []string   `json:"header"`
	Rows   [][]string `json:"rows"`
}

// Target is a figure and what it is to be: at most the bound, or at least.
type Target struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Bound   float64 `json:"bound"`
	AtLeast bool    `json:"atLeast,omitempty"`
	Unit    string  `json:"unit,omitempty"` // empty for a ratio
}

// Met tells whether the target is met; a figure that is none meets nothing.
func (t Target) Met() bool {
	if t.AtLeast {
		return t.Value >= t.Bound
	}
	return t.Value <= t.Bound
}

// Goal is the bound in words.
func (t Target) Goal() string {
	sign := "≤"
	if t.AtLeast {
		sign = "≥"
	}
	return sign + " " + t.number(t.Bound)
}

// Figure is the value with its unit.
func (t Target) Figure() string { return t.number(t.Value) }

func (t Target) number(v float64) string {
	if t.Unit == "" {
		return fmt.Sprintf("%.2f×", v)
	}
	return fmt.Sprintf("%.4g %s", v, t.Unit)
}

// Chart is a picture of a result.
type Chart struct {
	// Name is the file's, without its end.
	Name   string `json:"name"`
	Title  string `json:"title"`
	XLabel string `json:"xLabel,omitempty"`
	YLabel string `json:"yLabel"`
	// Labels makes it a chart of bars: the groups, of which each line has one bar. Without it the lines are curves.
	Labels []string `json:"labels,omitempty"`
	// LogX and LogY make the axes logarithmic.
	LogX  bool   `json:"logX,omitempty"`
	LogY  bool   `json:"logY,omitempty"`
	Lines []Line `json:"lines"`
}

// Line is a curve, or one bar of each group.
type Line struct {
	Name string    `json:"name"`
	X    []float64 `json:"x,omitempty"`
	Y    []float64 `json:"y"`
}
