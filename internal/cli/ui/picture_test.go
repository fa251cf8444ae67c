// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/chromedp/chromedp"
)

// pictures are the views that the documentation shows.
var pictures = []string{"empty", "busy", "busy-dark", "conflict", "large", "past", "table"}

// picture writes what is shown as ui-<name>.png: into docs/images what the documentation shows, into MACPOOL_PICTURES the rest, if it is set.
func (p *tab) picture(name string) {
	p.t.Helper()
	directory := os.Getenv("MACPOOL_PICTURES")
	if slices.Contains(pictures, name) {
		directory = filepath.Join("..", "..", "..", "docs", "images")
	}
	if directory == "" {
		return
	}
	p.settle()
	shot, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "ui-"+name+".png"), p.small(shot), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// small is a picture in 256 colours, those that it has most of, which is a third of the size: the rest are shades at the edges of letters.
func (p *tab) small(shot []byte) []byte {
	p.t.Helper()
	full, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		p.t.Fatal(err)
	}
	counts := map[color.RGBA]int{}
	bounds := full.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[color.RGBAModel.Convert(full.At(x, y)).(color.RGBA)]++ //nolint:errcheck,forcetypeassert // what the model converts to
		}
	}
	// Of colours that are nearly one, the one that there is most of.
	alike := map[color.RGBA]color.RGBA{}
	for c, n := range counts {
		near := color.RGBA{c.R >> 4, c.G >> 4, c.B >> 4, 0}
		if best, ok := alike[near]; !ok || n > counts[best] || n == counts[best] && value24(c) < value24(best) {
			alike[near] = c
		}
	}
	colours := slices.SortedFunc(maps.Values(alike), func(a, b color.RGBA) int { return cmp.Or(counts[b]-counts[a], cmp.Compare(value24(a), value24(b))) })
	palette := color.Palette{}
	for _, c := range colours[:min(len(colours), 256)] {
		palette = append(palette, c)
	}
	small := image.NewPaletted(bounds, palette)
	draw.Draw(small, bounds, full, bounds.Min, draw.Src)
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, small); err != nil {
		p.t.Fatal(err)
	}
	return b.Bytes()
}

func value24(c color.RGBA) int { return int(c.R)<<16 | int(c.G)<<8 | int(c.B) }
