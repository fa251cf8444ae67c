// SPDX-License-Identifier: Apache-2.0

package problem

import "testing"

// A text is cut between two characters, and not at all if it fits.
func TestCut(t *testing.T) {
	for _, tc := range []struct {
		text  string
		limit int
		want  string
	}{
		{"abc", 3, "abc"},
		{"abc", 2, "ab"},
		{"a\u00fcb", 2, "a"},
		{"a\u00fcb", 3, "a\u00fc"},
		{"\u00fc", 1, ""},
		{"", 0, ""},
		{"a\x80\x80b", 2, ""},
		{"\x80\x80\x80", 2, ""},
	} {
		if got := Cut(tc.text, tc.limit); got != tc.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", tc.text, tc.limit, got, tc.want)
		}
	}
}
