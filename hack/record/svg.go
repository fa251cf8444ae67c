// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// The window, in characters and in pixels.
const (
	columns, rows = 140, 30
	charWidth     = 8
	lineHeight    = 18
	margin        = 12
	width         = columns*charWidth + 2*margin
	height        = rows*lineHeight + 2*margin
)

// How long nothing may happen: a reader waits for no build. And how long each line stands alone at least, and the last one before it begins again.
const (
	longest  = 1500 * time.Millisecond
	shortest = 120 * time.Millisecond
	ending   = 8 * time.Second
)

// looks are the classes of lines, by what they are.
var looks = []struct {
	class   string
	matches *regexp.Regexp
}{
	{"head", regexp.MustCompile(`^\d+\. `)},
	{"typed", regexp.MustCompile(`^\$ `)},
	{"good", regexp.MustCompile(`^ *ok: `)},
	{"code", regexp.MustCompile(`\bMP\d{3}: `)},
}

// render draws lines that scroll into a window from below. Whoever wants no motion sees the end.
func render(lines []line) string {
	var text, frames strings.Builder
	row := 0
	shown := make([]int, 0, len(lines)) // how many rows there are when a line has come
	for _, l := range lines {
		class := ""
		for _, look := range looks {
			if look.matches.MatchString(l.text) {
				class = fmt.Sprintf(" class=%q", look.class)
				break
			}
		}
		for _, part := range wrap(l.text) {
			if strings.TrimSpace(part) != "" {
				fmt.Fprintf(&text, "<text%s x=\"%d\" y=\"%d\">%s</text>\n", class, margin, row*lineHeight, escape(part))
			}
			row++
		}
		shown = append(shown, row)
	}
	times, total := pace(lines)
	last := 0
	for i, n := range shown {
		last = (rows - n) * lineHeight
		fmt.Fprintf(&frames, "%.2f%%{transform:translateY(%dpx)}\n", 100*times[i].Seconds()/total.Seconds(), last)
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" role="img" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d">
<title>What the program prints, line by line</title>
<style>
text{font:13px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre;fill:#d5d9e0}
.head{fill:#8ab4f8;font-weight:bold}
.typed{fill:#ffffff;font-weight:bold}
.good{fill:#7ee2a0}
.code{fill:#f5c76a}
#roll{transform:translateY(%[3]dpx);animation:roll %.1[4]fs step-end infinite}
@keyframes roll{
%[5]s100%%{transform:translateY(%[3]dpx)}
}
@media (prefers-reduced-motion:reduce){#roll{animation:none}}
</style>
<rect width="100%%" height="100%%" rx="8" fill="#14181f"/>
<svg y="%[6]d" width="%[1]d" height="%[7]d"><g id="roll"><g transform="translate(0 14)">
%[8]s</g></g></svg>
</svg>
`, width, height, last, total.Seconds(), frames.String(), margin, rows*lineHeight, text.String())
}

// pace is when each line comes, and how long all of it takes: as it was, but with no long waits, and slow enough to be seen.
func pace(lines []line) ([]time.Duration, time.Duration) {
	var now, before time.Duration
	times := make([]time.Duration, 0, len(lines))
	for i, l := range lines {
		if i > 0 {
			now += max(shortest, min(longest, l.at-before))
		}
		before = l.at
		times = append(times, now)
	}
	return times, now + ending
}

// wrap breaks a line that is longer than the window, as a terminal does.
func wrap(text string) []string {
	var parts []string
	all := []rune(text)
	for len(all) > columns {
		parts, all = append(parts, string(all[:columns])), all[columns:]
	}
	return append(parts, string(all))
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a builder takes everything
	return b.String()
}
