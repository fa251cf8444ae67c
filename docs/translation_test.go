// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/docs"
)

// TestTranslation has a translated page be of the original as it is: the same blocks, all of its links, the same headings by level.
func TestTranslation(t *testing.T) {
	levels := regexp.MustCompile(`(?m)^#+ `)
	translated, err := filepath.Glob("*.zh.md")
	if err != nil || len(translated) == 0 {
		t.Fatalf("there is no translation: %v", err)
	}
	for _, page := range translated {
		original := page[:len(page)-len(".zh.md")] + ".md"
		content := func(page string) (blocks [][2]any) {
			all, err := docs.Blocks(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range all {
				blocks = append(blocks, [2]any{b.Info, b.Text})
			}
			return blocks
		}
		if diff := cmp.Diff(content(original), content(page)); diff != "" {
			t.Errorf("%s has other blocks than %s:\n%s", page, original, diff)
		}
		if diff := cmp.Diff(levels.FindAllString(prose(t, original), -1), levels.FindAllString(prose(t, page), -1)); diff != "" {
			t.Errorf("%s has other headings than %s:\n%s", page, original, diff)
		}
		has := map[string]bool{original: true}
		for _, m := range link.FindAllStringSubmatch(prose(t, page), -1) {
			has[m[1]] = true
		}
		for _, m := range link.FindAllStringSubmatch(prose(t, original), -1) {
			if m[1] != page && !has[m[1]] {
				t.Errorf("%s does not link to %s", page, m[1])
			}
		}
	}
}
