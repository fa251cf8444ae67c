// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/macpool/macpool/internal/cli"
)

// obeyed tells whether a terminal would do something else with a character than show it.
func obeyed(r rune) bool {
	return r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

// FuzzLegible : T19. Nothing of a text that anybody wrote is obeyed by a terminal, nothing of it is lost, and a text with nothing of the kind is left
// as it is. In a table it is one cell, whatever is in it.
func FuzzLegible(f *testing.F) {
	for _, seed := range []string{
		"db-0", "größe 日本", "\x1b[2J\x1b]0;title\a", "\u009b31m", "a\rb", "\u202edb", "\xff\xfe\x9b", "a\nb\tc\vd\fe", "\x1b[31mred\x1b[0m", "\u2028", "\x7f\b\b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		if n, err := cli.Legible(&out).Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("%d of %d bytes, %v", n, len(text), err)
		}
		got := out.String()
		if i := strings.IndexFunc(got, obeyed); i >= 0 || !utf8.ValidString(got) {
			t.Errorf("%q became %q", text, got)
		}
		if utf8.ValidString(text) && !strings.ContainsFunc(text, obeyed) && !strings.ContainsAny(text, "\u2028\u2029") && got != text {
			t.Errorf("%q became %q", text, got)
		}
		if len(got) < len(text) || strings.Count(got, "\n") != strings.Count(text, "\n") {
			t.Errorf("%q became %q", text, got)
		}
		out.Reset()
		page := cli.NewPage(cli.Legible(&out))
		page.Line("  %s, %d", text, 1)
		if lines := strings.Count(out.String(), "\n"); page.Err() != nil || lines != 1 || strings.ContainsFunc(out.String(), obeyed) {
			t.Errorf("%q makes %d lines: %q, %v", text, lines, out.String(), page.Err())
		}
		out.Reset()
		if err := cli.Table(cli.Legible(&out), []string{"NAME", "NODE"}, [][]string{{text, "n"}, {"other", text}}); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(out.String(), "\n"); lines != 3 || strings.ContainsFunc(out.String(), obeyed) || strings.Contains(out.String(), "\t") {
			t.Errorf("%q makes a table of %d lines: %q", text, lines, out.String())
		}
	})
}
