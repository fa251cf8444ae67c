// SPDX-License-Identifier: Apache-2.0

package measure_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macpool/macpool/hack/bench/measure"
)

// same compares figures, of which one may be none.
func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func TestQuantile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i) // no order is needed
	}
	for name, tt := range map[string]struct {
		rounds [][]float64
		q      float64
		want   float64
	}{
		"nothing":                {nil, 0.5, math.NaN()},
		"empty rounds":           {[][]float64{{}, nil}, 0.99, math.NaN()},
		"one":                    {[][]float64{{7}}, 0.99, 7},
		"the median of two":      {[][]float64{{4, 2}}, 0.5, 3},
		"p90":                    {[][]float64{hundred}, 0.9, 90},
		"p99":                    {[][]float64{hundred}, 0.99, 99},
		"the greatest":           {[][]float64{hundred}, 1, 100},
		"the least":              {[][]float64{hundred}, 0, 1},
		"a value, none between":  {[][]float64{{1, 100}}, 0.99, 100},
		"the median of rounds":   {[][]float64{{1, 2, 3}, {10, 20, 30}, {5, 6, 7}}, 0.5, 6},
		"a bad round":            {[][]float64{{1, 2}, {1, 2}, {1, 900}}, 1, 2},
		"a round without values": {[][]float64{{1}, nil, {3}}, 0.5, 2},
	} {
		s := measure.Series{Rounds: tt.rounds}
		before := fmt.Sprint(tt.rounds)
		if got := s.Quantile(tt.q); !same(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
		if after := fmt.Sprint(s.Rounds); after != before {
			t.Errorf("%s: the raw values became %s", name, after)
		}
	}
}

func TestAddKeepsRoundsApart(t *testing.T) {
	var s measure.Series
	s.Add(2, 5)
	s.Add(0, 1, 2)
	s.Add(2, 6)
	if diff := cmp.Diff([][]float64{{1, 2}, nil, {5, 6}}, s.Rounds); diff != "" {
		t.Error(diff)
	}
}

// A machine that was slow in one round was so for both, and its ratio is like the others.
func TestRatioIsThatOfRounds(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b [][]float64
		q    float64
		want float64
	}{
		"a slow round":              {[][]float64{{2}, {200}, {2}}, [][]float64{{1}, {100}, {1}}, 0.5, 2},
		"the median of the ratios":  {[][]float64{{1}, {3}, {50}}, [][]float64{{1}, {1}, {10}}, 0.5, 3},
		"not the ratio of medians":  {[][]float64{{1}, {10}, {100}}, [][]float64{{10}, {1}, {50}}, 0.5, 2},
		"of quantiles":              {[][]float64{{1, 2, 30}}, [][]float64{{1, 2, 3}}, 1, 10},
		"one has more rounds":       {[][]float64{{2}, {9}}, [][]float64{{1}}, 0.5, 2},
		"one has nothing in one":    {[][]float64{{2}, nil}, [][]float64{{1}, {1}}, 0.5, 2},
		"they share no round":       {[][]float64{{2}, nil}, [][]float64{nil, {1}}, 0.5, math.NaN()},
		"nothing against something": {nil, [][]float64{{1}}, 0.5, math.NaN()},
	} {
		if got := measure.Ratio(&measure.Series{Rounds: tt.a}, &measure.Series{Rounds: tt.b}, tt.q); !same(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

func TestInTurn(t *testing.T) {
	var done, said []string
	var all []measure.Candidate
	for _, name := range []string{"A", "B", "C"} {
		all = append(all, measure.Candidate{Name: name, Round: func(_ context.Context, round int) error {
			done = append(done, fmt.Sprint(name, round))
			return nil
		}})
	}
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	if err := measure.InTurn(t.Context(), 4, all, say); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(done, " "), "A0 B0 C0 B1 C1 A1 C2 A2 B2 A3 B3 C3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(said) != 12 || said[11] != "round 4 of 4: C" {
		t.Errorf("said %v", said)
	}
}

func TestInTurnEndsWithAnError(t *testing.T) {
	broken := errors.New("broken")
	calls := 0
	err := measure.InTurn(t.Context(), 3, []measure.Candidate{{Name: "it", Round: func(context.Context, int) error {
		calls++
		if calls == 2 {
			return broken
		}
		return nil
	}}}, func(string, ...any) {})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "it, round 2") || calls != 2 {
		t.Errorf("got %v after %d calls", err, calls)
	}
}

func TestTarget(t *testing.T) {
	for name, tt := range map[string]struct {
		target       measure.Target
		met          bool
		figure, goal string
	}{
		"at most":       {measure.Target{Value: 1.04, Bound: 1.1}, true, "1.04×", "≤ 1.10×"},
		"on the bound":  {measure.Target{Value: 1.1, Bound: 1.1}, true, "1.10×", "≤ 1.10×"},
		"more":          {measure.Target{Value: 1.2, Bound: 1.1}, false, "1.20×", "≤ 1.10×"},
		"at least":      {measure.Target{Value: 0.8, Bound: 0.7, AtLeast: true}, true, "0.80×", "≥ 0.70×"},
		"less":          {measure.Target{Value: 0.6, Bound: 0.7, AtLeast: true}, false, "0.60×", "≥ 0.70×"},
		"with a unit":   {measure.Target{Value: 3.80125, Bound: 4, Unit: "MB"}, true, "3.801 MB", "≤ 4 MB"},
		"none":          {measure.Target{Value: math.NaN(), Bound: 1.1}, false, "NaN×", "≤ 1.10×"},
		"none, least":   {measure.Target{Value: math.NaN(), Bound: 0.7, AtLeast: true}, false, "NaN×", "≥ 0.70×"},
		"without bound": {measure.Target{Value: math.Inf(1), Bound: 1.1}, false, "+Inf×", "≤ 1.10×"},
	} {
		if got := tt.target.Met(); got != tt.met {
			t.Errorf("%s: met %v", name, got)
		}
		if tt.target.Figure() != tt.figure || tt.target.Goal() != tt.goal {
			t.Errorf("%s: got %s and %s, want %s and %s", name, tt.target.Figure(), tt.target.Goal(), tt.figure, tt.goal)
		}
	}
}

// A result comes out of its file as it went in, also one with figures that are none.
func TestResultInJSON(t *testing.T) {
	want := measure.Result{
		Section: "exec", About: "text",
		Tables:  []measure.Table{{Title: "t", Header: []string{"a"}, Rows: [][]string{{"1"}}}},
		Targets: []measure.Target{{Name: "x", Value: 1.5, Bound: 2, AtLeast: true, Unit: "MB"}, {Name: "none", Value: math.NaN(), Bound: 2}},
		Charts: []measure.Chart{{
			Name: "c", Title: "C", XLabel: "x", YLabel: "y", Labels: []string{"l"}, LogX: true, LogY: true,
			Lines: []measure.Line{{Name: "l", X: []float64{1, 2}, Y: []float64{3, math.NaN()}}},
		}},
		Series: []*measure.Series{{Name: "s", Unit: "ms", Rounds: [][]float64{{1, 2}, {3}}}},
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got measure.Result
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
	// An infinity is none either: what was divided by nothing meets nothing.
	text, err = json.Marshal(measure.Target{Name: "x", Value: math.Inf(-1), Bound: 2})
	if err != nil || string(text) != `{"name":"x","bound":2,"value":null}` {
		t.Errorf("got %s, %v", text, err)
	}
}
