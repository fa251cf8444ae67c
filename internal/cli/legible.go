// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// legible is an output on which a text is nothing but text (T19). What objects say is written by tenants and by agents, and the API server takes
// most of it as it comes: a name must not move the cursor, hide what stands before it, or turn the direction of a line. Such characters are
// shown as Go writes them, \u001b, which JSON reads as what they are. A Write is of whole characters.
type legible struct {
	w io.Writer
	// coloured: the sequences of a Palette pass. Somebody else may write them too, and a colour never says what the text does not.
	coloured bool
}

// Legible is w for text that a person reads.
func Legible(w io.Writer) io.Writer { return &legible{w: w, coloured: coloured(w)} }

// ForTerminal is Legible if a person may be reading, and w for files and programs.
func ForTerminal(w io.Writer) io.Writer {
	if isTerminal(w) {
		return Legible(w)
	}
	return w
}

func isTerminal(w io.Writer) bool {
	file, isFile := w.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}

// coloured: colours only on a terminal, and not if NO_COLOR is set (https://no-color.org).
func coloured(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// painted is what a Palette writes.
var painted = regexp.MustCompile("\x1b\\[(0|1|2|31|32|33)m")

// Write writes p, or what stands for it.
func (l *legible) Write(p []byte) (int, error) {
	text := string(p)
	var b strings.Builder
	for text != "" {
		if end := l.paint(text); end > 0 {
			b.WriteString(text[:end])
			text = text[end:]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		if r == '\n' || r == '\t' {
			b.WriteRune(r)
		} else {
			b.WriteString(shown(r, text[:size]))
		}
		text = text[size:]
	}
	if _, err := io.WriteString(l.w, b.String()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// paint is the length of the sequence of a Palette that the text begins with.
func (l *legible) paint(text string) int {
	if !l.coloured {
		return 0
	}
	if at := painted.FindStringIndex(text); at != nil && at[0] == 0 {
		return at[1]
	}
	return 0
}

// Line is a text of which nothing begins a line or a column of its own: what an object says must not look like an answer of the program's.
func Line(text string) string { return breaks.Replace(text) }

// breaks are those of lines, and what text/tabwriter does not take for text.
var breaks = strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`, "\v", `\v`, "\f", `\f`, "\xff", `\xff`)

// shown is a character, or what stands for it.
func shown(r rune, bytes string) string {
	switch {
	case r == utf8.RuneError && len(bytes) <= 1:
		return fmt.Sprintf(`\x%02x`, bytes)
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\u2028', r == '\u2029':
		return fmt.Sprintf(`\u%04x`, r)
	}
	return bytes
}
