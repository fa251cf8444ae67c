// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"

	"golang.org/x/term"
)

// Palette colours text for a terminal, and leaves it alone for everything else. A colour never says what the text does not.
type Palette struct{ on bool }

// Palette is that of the factory's output.
func (f *Factory) Palette() Palette { return Palette{on: coloured(f.Out)} }

// Width is how many columns the output has; 80 if it is no terminal.
func (f *Factory) Width() int {
	if file, isFile := f.Out.(*os.File); isFile {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// Bold is for what a person looks for first.
func (p Palette) Bold(s string) string { return p.paint("1", s) }

// Faint is for what most people do not look for.
func (p Palette) Faint(s string) string { return p.paint("2", s) }

// Good is for what is as it should be.
func (p Palette) Good(s string) string { return p.paint("32", s) }

// Bad is for what is wrong.
func (p Palette) Bad(s string) string { return p.paint("31", s) }

// Odd is for what may be wrong.
func (p Palette) Odd(s string) string { return p.paint("33", s) }

func (p Palette) paint(code, s string) string {
	if !p.on || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
