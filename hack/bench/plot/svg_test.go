// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/macpool/macpool/hack/bench/measure"
)

// element is one of a picture, with the text in it.
type element struct {
	name, class string
	attr        map[string]string
	text        string
}

func (e *element) number(t *testing.T, attr string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(e.attr[attr], 64)
	if err != nil {
		t.Fatalf("%s of %v: %v", attr, e, err)
	}
	return v
}

// read parses a picture, as a browser would.
func read(t *testing.T, svg []byte) []*element {
	t.Helper()
	var all, open []*element
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: token.Name.Local, attr: map[string]string{}}
			for _, a := range token.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			e.class = e.attr["class"]
			all, open = append(all, e), append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			for _, e := range open {
				e.text += strings.TrimSpace(string(token))
			}
		}
	}
}

func of(all []*element, class string) []*element {
	var some []*element
	for _, e := range all {
		if slices.Contains(strings.Fields(e.class), class) {
			some = append(some, e)
		}
	}
	return some
}

// value reads a number as people do, who see "20k".
func value(t *testing.T, text string) float64 {
	t.Helper()
	for suffix, of := range map[string]float64{"k": 1e3, "M": 1e6, "G": 1e9} {
		if before, ok := strings.CutSuffix(text, suffix); ok {
			return value(t, before) * of
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ruler reads the value at a place as a person does, by the two outer ticks of the axis whose texts have the class.
func ruler(t *testing.T, all []*element, class, coordinate string, log bool) func(place float64) float64 {
	t.Helper()
	ticks := of(all, class)
	first, last := ticks[0], ticks[len(ticks)-1]
	from, to := value(t, first.text), value(t, last.text)
	if log {
		from, to = math.Log10(from), math.Log10(to)
	}
	begin, end := first.number(t, coordinate), last.number(t, coordinate)
	return func(place float64) float64 {
		v := from + (place-begin)/(end-begin)*(to-from)
		if log {
			return math.Pow(10, v)
		}
		return v
	}
}

// near allows for what is rounded away in the picture.
func near(a, b, of float64) bool { return math.Abs(a-b) <= 0.005*math.Abs(of) }

func TestBarsAreAsLongAsTheirValues(t *testing.T) {
	for name, log := range map[string]bool{"linear": false, "logarithmic": true} {
		t.Run(name, func(t *testing.T) {
			c := measure.Chart{
				Title: "CPU", YLabel: "ms", LogY: log, Labels: []string{"VERSION", "ADD"},
				Lines: []measure.Line{{Name: "macpool", Y: []float64{1.5, 2.36}}, {Name: "other", Y: []float64{17.3, 144}}},
			}
			all := read(t, SVG(c))
			at := ruler(t, all, "y", "y", log)
			bars := of(all, "bar")
			if len(bars) != 4 {
				t.Fatalf("%d bars", len(bars))
			}
			floor := of(all, "axis")[0].number(t, "y1")
			i, free := 0, 0.0
			for g, label := range c.Labels {
				for _, l := range c.Lines {
					bar := bars[i]
					top := bar.number(t, "y")
					// Texts stand 4 below the line that they name.
					if got := at(top + 4); !near(got, l.Y[g], max(l.Y[g], 30)) {
						t.Errorf("%s of %s ends at %v, not %v", label, l.Name, got, l.Y[g])
					}
					if foot := top + bar.number(t, "height"); math.Abs(foot-floor) > 0.02 {
						t.Errorf("%s of %s ends at %v, and the axis is at %v", label, l.Name, foot, floor)
					}
					if x := bar.number(t, "x"); x < free {
						t.Errorf("the bar of %s, %s stands on the one before", l.Name, label)
					}
					free = bar.number(t, "x") + bar.number(t, "width")
					if !strings.HasPrefix(bar.text, l.Name+", "+label) {
						t.Errorf("the bar of %s, %s is called %s", l.Name, label, bar.text)
					}
					i++
				}
			}
		})
	}
}

func TestPointsStandAtTheirValues(t *testing.T) {
	for name, c := range map[string]measure.Chart{
		"linear":      {},
		"logarithmic": {LogX: true, LogY: true},
		"half":        {LogX: true},
	} {
		t.Run(name, func(t *testing.T) {
			c.Title, c.XLabel, c.YLabel = "ADD", "leases", "ms"
			c.Lines = []measure.Line{{Name: "macpool", X: []float64{100, 1000, 100_000}, Y: []float64{0.7, 20, 333}}}
			all := read(t, SVG(c))
			x, y := ruler(t, all, "x", "x", c.LogX), ruler(t, all, "y", "y", c.LogY)
			points := of(all, "point")
			if len(points) != 3 {
				t.Fatalf("%d points", len(points))
			}
			for i, p := range points {
				l := c.Lines[0]
				scaleX, scaleY := 100_000.0, 350.0
				if c.LogX {
					scaleX = l.X[i]
				}
				if c.LogY {
					scaleY = l.Y[i] * 5
				}
				if got := x(p.number(t, "cx")); !near(got, l.X[i], scaleX) {
					t.Errorf("point %d stands at x=%v, not %v", i, got, l.X[i])
				}
				if got := y(p.number(t, "cy") + 4); !near(got, l.Y[i], scaleY) {
					t.Errorf("point %d stands at y=%v, not %v", i, got, l.Y[i])
				}
			}
			if curves := of(all, "curve"); len(curves) != 1 || len(strings.Fields(curves[0].attr["points"])) != 3 {
				t.Errorf("the curve is %v", curves)
			}
		})
	}
}

// What was not measured is a gap, and not a zero.
func TestGaps(t *testing.T) {
	line := measure.Line{Name: "a", X: []float64{1, 2, 3, 4, 5}, Y: []float64{1, 2, math.NaN(), 0, 5}}
	for name, tt := range map[string]struct {
		chart  measure.Chart
		points int
		curves int
	}{
		"linear":       {measure.Chart{}, 4, 2},
		"no zero":      {measure.Chart{LogY: true}, 3, 1},
		"bars":         {measure.Chart{Labels: []string{"1", "2", "3", "4", "5"}}, 4, 0},
		"bars, log":    {measure.Chart{Labels: []string{"1", "2", "3", "4", "5"}, LogY: true}, 3, 0},
		"more labels":  {measure.Chart{Labels: []string{"1", "2", "3", "4", "5", "6"}}, 4, 0},
		"fewer labels": {measure.Chart{Labels: []string{"1", "2"}}, 2, 0},
	} {
		tt.chart.Lines = []measure.Line{line}
		all := read(t, SVG(tt.chart))
		if got := len(of(all, "point")) + len(of(all, "bar")); got != tt.points {
			t.Errorf("%s: %d points, want %d", name, got, tt.points)
		}
		if got := len(of(all, "curve")); got != tt.curves {
			t.Errorf("%s: %d curves, want %d", name, got, tt.curves)
		}
	}
}

func TestNothingMeasured(t *testing.T) {
	for name, c := range map[string]measure.Chart{
		"no lines":      {Title: "none"},
		"empty lines":   {Title: "none", Lines: []measure.Line{{Name: "a"}, {Name: "b", Y: []float64{math.NaN(), math.Inf(1)}}}},
		"bars":          {Title: "none", Labels: []string{"x"}},
		"zeros on log":  {Title: "none", LogY: true, Labels: []string{"x"}, Lines: []measure.Line{{Y: []float64{0}}}},
		"log, no value": {Title: "none", LogX: true, LogY: true},
	} {
		all := read(t, SVG(c))
		if len(of(all, "none")) != 1 || len(of(all, "bar"))+len(of(all, "point")) != 0 {
			t.Errorf("%s: it does not say that nothing was measured", name)
		}
		for _, e := range all {
			for attr, v := range e.attr {
				if strings.Contains(v, "NaN") || strings.Contains(v, "Inf") {
					t.Errorf("%s: %s of %s is %s", name, attr, e.name, v)
				}
			}
		}
	}
}

// crowded are charts that have much to say.
func crowded() []measure.Chart {
	bars := measure.Chart{Title: "Operations of & <many> kinds, each of them with quite a long name, so that the title is long as well", YLabel: "µs \"p50\"", XLabel: "what"}
	curves := measure.Chart{Title: "curves", XLabel: "leases in the whole cluster, on a logarithmic axis", YLabel: "ms", LogX: true}
	linear := measure.Chart{Title: "linear", XLabel: "leases", YLabel: "ms"}
	for i := range 9 {
		name := "candidate number " + strconv.Itoa(i)
		bars.Lines = append(bars.Lines, measure.Line{Name: name, Y: []float64{1234.5, 2, 3e6, 4, 5, 6}})
		curves.Lines = append(curves.Lines, measure.Line{Name: name, X: []float64{1, 1e9}, Y: []float64{float64(i), 99}})
		linear.Lines = append(linear.Lines, measure.Line{Name: name, X: []float64{123_456, 987_654}, Y: []float64{float64(i), 99}})
	}
	bars.Labels = []string{"ADD", "a label of many words, which needs several lines", "DEL", "unbreakableandlonglabel", "whichhasaneighbourlikeit", "y"}
	return []measure.Chart{bars, curves, linear}
}

// No text stands on another one, or beyond the edge.
func TestTextsDoNotOverlap(t *testing.T) {
	for _, c := range crowded() {
		all := read(t, SVG(c))
		wide, high := all[0].number(t, "width"), all[0].number(t, "height")
		type box struct {
			text           string
			x1, x2, y1, y2 float64
		}
		var boxes []box
		for _, e := range all {
			if e.name != "text" {
				continue
			}
			size := map[string]float64{"title": 15, "value": valueSize}[e.class]
			if size == 0 {
				size = fontSize
			}
			w, x, y := float64(len([]rune(e.text)))*size*0.58, e.number(t, "x"), e.number(t, "y")
			switch e.attr["text-anchor"] {
			case "middle":
				x -= w / 2
			case "end":
				x -= w
			}
			b := box{e.text, x, x + w, y - size*0.8, y + size*0.2}
			if b.x1 < 0 || b.x2 > wide || b.y1 < 0 || b.y2 > high {
				t.Errorf("%s: %q is beyond the edge: %v of %v x %v", c.Title, e.text, b, wide, high)
			}
			for _, o := range boxes {
				if b.x1 < o.x2 && o.x1 < b.x2 && b.y1 < o.y2 && o.y1 < b.y2 {
					t.Errorf("%s: %q stands on %q", c.Title, b.text, o.text)
				}
			}
			boxes = append(boxes, b)
		}
		if len(of(all, "legend")) != 9 || len(of(all, "key")) != 9 {
			t.Errorf("%s: the legend lacks lines", c.Title)
		}
		if title := of(all, "title"); len(title) != 1 || title[0].text != c.Title {
			t.Errorf("the title is %v", title)
		}
	}
}

func TestTheSameChartIsTheSamePicture(t *testing.T) {
	for i, c := range crowded() {
		if !bytes.Equal(SVG(c), SVG(crowded()[i])) {
			t.Errorf("%s differs from itself", c.Title)
		}
	}
}

func TestAxes(t *testing.T) {
	for name, tt := range map[string]struct {
		values []float64
		log    bool
		want   string
	}{
		"from zero":      {values: []float64{1.2, 2.7}, want: "0 0.5 1 1.5 2 2.5 3"},
		"below zero":     {values: []float64{-3, 5}, want: "-4 -2 0 2 4 6"},
		"one value":      {values: []float64{0}, want: "0 0.2 0.4 0.6 0.8 1"},
		"thousands":      {values: []float64{99_999}, want: "0 20k 40k 60k 80k 100k"},
		"exactly":        {values: []float64{0.3}, want: "0 0.05 0.1 0.15 0.2 0.25 0.3"},
		"one decade":     {log: true, values: []float64{1.5, 7}, want: "1 2 5 10"},
		"a power of ten": {log: true, values: []float64{100}, want: "100 200 500 1k"},
		"decades":        {log: true, values: []float64{0.02, 40}, want: "0.01 0.1 1 10 100"},
		"very many":      {log: true, values: []float64{1e-9, 1e9}, want: "1e-09 1e-06 0.001 1 1k 1M 1G"},
	} {
		a := newAxis(tt.values, tt.log, true)
		var got []string
		for _, v := range a.ticks {
			got = append(got, number(v))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: the ticks are %s, want %s", name, strings.Join(got, " "), tt.want)
		}
		for _, v := range tt.values {
			if v < a.least || v > a.top {
				t.Errorf("%s: %v is not between %v and %v", name, v, a.least, a.top)
			}
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1.234: "1.23", 12.35: "12.3", 999.4: "999", 999.6: "1k", 1500: "1.5k", 12_345: "12.3k", 2e6: "2M", 3e9: "3G", -1500: "-1.5k", 0.00123: "0.00123"} {
		if got := number(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
}
