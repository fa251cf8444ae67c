// SPDX-License-Identifier: Apache-2.0

package problem

import "unicode/utf8"

// MaxNote is how many bytes the API server takes as the note of an event.
const MaxNote = 1024

// Cut is the beginning of a text, of at most so many bytes and of whole characters. Of a text that is no UTF-8, as an error may quote, there may be
// less.
func Cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
