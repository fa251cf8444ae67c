// SPDX-License-Identifier: Apache-2.0

// Package plot draws charts as SVG, which show as well on a light page as on a dark one. It is code of ours: gonum/plot, the library that is
// kept, draws with fonts of its own in fixed colours, and brings fonts, images and PDF into the modules, for what are rectangles and lines.
package plot

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"

	"github.com/macpool/macpool/hack/bench/measure"
)

const (
	width    = 760.0 // of the picture, unless the groups of bars need more
	height   = 300.0 // of the field of the axes
	edge     = 16.0
	line     = 18.0 // from one line of text to the next
	gap      = 24.0 // between groups of bars
	fontSize = 12.0
	// valueSize is that of the values above bars.
	valueSize = 10.0
	colours   = 7
)

// The colours are those of Okabe and Ito, which the colour-blind can tell apart, lighter on dark. The ground is drawn, too: a page may be light
// where the reader's system is dark.
const style = `
text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; } .value { font-size: 10px; }
.ground { fill: #ffffff; }
.grid { stroke: #d8dee4; } .axis { stroke: #6e7781; }
.c0 { --c: #0072b2; } .c1 { --c: #d55e00; } .c2 { --c: #009e73; } .c3 { --c: #b6559a; } .c4 { --c: #b98500; } .c5 { --c: #3e9bd1; } .c6 { --c: #666666; }
.bar, .key, .point { fill: var(--c); } .curve { stroke: var(--c); fill: none; stroke-width: 2; }
.again { stroke-dasharray: 6 3; } .bar.again { opacity: .6; } .key.again { opacity: .6; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .ground { fill: #0d1117; } .grid { stroke: #30363d; } .axis { stroke: #8b949e; }
.c0 { --c: #4aa8e0; } .c1 { --c: #ff8a4c; } .c2 { --c: #35c99b; } .c3 { --c: #e59cc6; } .c4 { --c: #f2b632; } .c5 { --c: #9ad4f7; } .c6 { --c: #b4b4b4; }
}
`

// canvas is a picture in the making.
type canvas struct {
	chart measure.Chart
	body  bytes.Buffer
	// width is the picture's, left and right are the ends of the field of the axes, roof and floor its upper and lower one.
	width, left, right, roof, floor float64
	// bottom is where the next text below the field would stand.
	bottom float64
}

// SVG draws the chart. What is not a number is left out, as is what a logarithmic axis has no place for.
func SVG(c measure.Chart) []byte {
	p := &canvas{chart: c, width: width}
	var ys []float64
	for _, l := range c.Lines {
		for _, v := range l.Y {
			if drawable(v, c.LogY) {
				ys = append(ys, v)
			}
		}
	}
	y := newAxis(ys, c.LogY, true)
	p.left = edge + 8
	for _, t := range y.ticks {
		p.left = max(p.left, edge+8+measured(number(t)))
	}
	if len(c.Labels) > 0 {
		p.width = max(p.width, p.left+edge+float64(len(c.Labels))*p.groupNeeds())
	}
	p.width = max(p.width, 2*edge+measured(c.Title)*1.3, 2*edge+measured(c.XLabel), 2*edge+measured(c.YLabel))
	p.right = p.width - edge
	p.header()
	y.from, y.to = p.floor, p.roof
	for _, t := range y.ticks {
		at := y.at(t)
		p.line("grid", p.left, at, p.right, at)
		p.text(p.left-6, at+4, "end", "y", number(t))
	}
	switch {
	case len(ys) == 0:
		p.text((p.left+p.right)/2, (p.roof+p.floor)/2, "middle", "none", "nothing was measured")
		p.bottom = p.floor
	case len(c.Labels) > 0:
		p.bars(y)
	default:
		p.curves(y)
	}
	p.line("axis", p.left, p.floor, p.right, p.floor)
	if c.XLabel != "" {
		p.bottom += line
		p.text((p.left+p.right)/2, p.bottom, "middle", "label", c.XLabel)
	}
	return p.whole()
}

// whole is the picture around what has been drawn.
func (p *canvas) whole() []byte {
	var out bytes.Buffer
	high := p.bottom + edge
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img">`+"\n", p.width, high, p.width, high)
	fmt.Fprintf(&out, "<title>%s</title>\n<style>%s</style>\n<rect class=\"ground\" width=\"100%%\" height=\"100%%\"/>\n", escaped(p.chart.Title), style)
	out.Write(p.body.Bytes())
	out.WriteString("</svg>\n")
	return out.Bytes()
}

// header writes title, legend and the unit of the vertical axis, and says where the field begins and ends.
func (p *canvas) header() {
	y := edge + 12
	p.text(edge, y, "start", "title", p.chart.Title)
	x := edge
	y += line + 4
	for i, l := range p.chart.Lines {
		needs := 16 + measured(l.Name) + 18
		if x > edge && x+needs > p.width-edge {
			x = edge
			y += line
		}
		fmt.Fprintf(&p.body, `<rect class="key %s" x="%.1f" y="%.1f" width="11" height="11"/>`+"\n", class(i), x, y-10)
		p.text(x+16, y, "start", "legend", l.Name)
		x += needs
	}
	y += line + 4
	p.text(edge, y, "start", "label", p.chart.YLabel)
	p.roof = y + 14
	p.floor = p.roof + height
}

// groupNeeds is how wide a group of bars must be: as its bars, and as the longest word below it.
func (p *canvas) groupNeeds() float64 {
	const narrowest = 14
	needs := float64(len(p.chart.Lines))*narrowest + gap
	for _, label := range p.chart.Labels {
		for word := range strings.FieldsSeq(label) {
			needs = max(needs, measured(word)+12)
		}
	}
	return needs
}

// valuesFit tells whether each bar can have its value above it; none has, if one could not.
func (p *canvas) valuesFit(bar float64) bool {
	for _, l := range p.chart.Lines {
		for _, v := range l.Y {
			if measured(number(v))*valueSize/fontSize > bar {
				return false
			}
		}
	}
	return true
}

func (p *canvas) bars(y *axis) {
	group := (p.right - p.left) / float64(len(p.chart.Labels))
	bar := min(56, (group-gap)/float64(len(p.chart.Lines)))
	values, lines := p.valuesFit(bar), 0
	for g, label := range p.chart.Labels {
		middle := p.left + (float64(g)+0.5)*group
		for n, text := range wrapped(label, group-8) {
			p.text(middle, p.floor+line*float64(n+1), "middle", "x", text)
			lines = max(lines, n+1)
		}
		first := middle - bar*float64(len(p.chart.Lines))/2
		for i, l := range p.chart.Lines {
			if g >= len(l.Y) || !drawable(l.Y[g], p.chart.LogY) {
				continue
			}
			// A bar stands on zero, or where there is none on the axis.
			end, foot := y.at(l.Y[g]), p.floor
			if !p.chart.LogY {
				foot = y.at(0)
			}
			x := first + float64(i)*bar
			fmt.Fprintf(&p.body, `<rect class="bar %s" x="%.1f" y="%.2f" width="%.1f" height="%.2f"><title>%s, %s: %s</title></rect>`+"\n",
				class(i), x+1, min(end, foot), bar-2, max(end, foot)-min(end, foot), escaped(l.Name), escaped(label), number(l.Y[g]))
			if values {
				p.text(x+bar/2, min(end, foot)-4, "middle", "value", number(l.Y[g]))
			}
		}
	}
	p.bottom = p.floor + line*float64(lines)
}

func (p *canvas) curves(y *axis) {
	var xs []float64
	for _, l := range p.chart.Lines {
		for i, v := range l.Y {
			if x := place(l, i); drawable(x, p.chart.LogX) && drawable(v, p.chart.LogY) {
				xs = append(xs, x)
			}
		}
	}
	x := newAxis(xs, p.chart.LogX, false)
	x.from, x.to = p.left+8, p.right-12
	for _, t := range x.ticks {
		at, text := x.at(t), number(t)
		p.line("axis", at, p.floor, at, p.floor+4)
		p.text(at, p.floor+line, "middle", "x", text)
	}
	p.bottom = p.floor + line
	for i, l := range p.chart.Lines {
		var points []string // since the last gap
		draw := func() {
			if len(points) > 1 {
				fmt.Fprintf(&p.body, `<polyline class="curve %s" points="%s"/>`+"\n", class(i), strings.Join(points, " "))
			}
			points = nil
		}
		for n, v := range l.Y {
			at := place(l, n)
			if !drawable(at, p.chart.LogX) || !drawable(v, p.chart.LogY) {
				draw()
				continue
			}
			points = append(points, fmt.Sprintf("%.2f,%.2f", x.at(at), y.at(v)))
			fmt.Fprintf(&p.body, `<circle class="point %s" cx="%.2f" cy="%.2f" r="3.5"><title>%s, %s: %s</title></circle>`+"\n",
				class(i), x.at(at), y.at(v), escaped(l.Name), number(at), number(v))
		}
		draw()
	}
}

// place is where a value stands on the horizontal axis: one after the other, if nothing is said.
func place(l measure.Line, i int) float64 {
	if i < len(l.X) {
		return l.X[i]
	}
	return float64(i)
}

func (p *canvas) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&p.body, `<line class="%s" x1="%.1f" y1="%.2f" x2="%.1f" y2="%.2f"/>`+"\n", class, x1, y1, x2, y2)
}

func (p *canvas) text(x, y float64, anchor, class, s string) {
	fmt.Fprintf(&p.body, `<text class="%s" x="%.1f" y="%.2f" text-anchor="%s">%s</text>`+"\n", class, x, y, anchor, escaped(s))
}

// class is the colour of the i-th line; when they have all been used they come again, dashed or paler.
func class(i int) string {
	s := fmt.Sprintf("c%d", i%colours)
	if i >= colours {
		s += " again"
	}
	return s
}

// measured is about how wide a text is, rather more than less: the fonts are the reader's.
func measured(s string) float64 { return float64(len([]rune(s))) * fontSize * 0.6 }

// wrapped breaks a label between words into lines that are not wider; a word that is too wide has a line of its own.
func wrapped(label string, wide float64) []string {
	var lines []string
	for _, word := range slices.Collect(strings.FieldsSeq(label)) {
		if last := len(lines) - 1; last >= 0 && measured(lines[last]+" "+word) <= wide {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

func escaped(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return b.String()
}
