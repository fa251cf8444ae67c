// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	if err := os.WriteFile(filepath.Join(directory, "ui-"+name+".png"), p.small(shot), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// small is a picture in the 256 colours that it has most of, which is a third of the size: the rest are shades at the edges of letters.
func (p *tab) small(shot []byte) []byte {
	p.t.Helper()
	full, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		p.t.Fatal(err)
	}
	counts := map[color.Color]int{}
	bounds := full.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[full.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(counts), func(a, b color.Color) int { return cmp.Or(counts[b]-counts[a], strings.Compare(text(a), text(b))) })
	small := image.NewPaletted(bounds, color.Palette(colours[:min(len(colours), 256)]))
	draw.Draw(small, bounds, full, bounds.Min, draw.Src)
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, small); err != nil {
		p.t.Fatal(err)
	}
	return b.Bytes()
}

func text(c color.Color) string {
	r, g, b, _ := c.RGBA()
	return fmt.Sprint(r, g, b)
}
