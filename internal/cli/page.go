// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
)

// Page is written line by line, until one cannot be written.
type Page struct {
	w   io.Writer
	err error
}

// NewPage is a page on w.
func NewPage(w io.Writer) *Page { return &Page{w: w} }

// Line writes a line. Texts among the arguments stay within it.
func (p *Page) Line(format string, args ...any) {
	if p.err != nil {
		return
	}
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = Line(text)
		}
	}
	_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
}

// Err is why the page is not whole.
func (p *Page) Err() error { return p.err }
