// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var (
	link    = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*?) *$`)
	anchor  = regexp.MustCompile(`<a id="([^"]+)">`)
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	code    = regexp.MustCompile("`[^`\n]+`")
)

// TestLinks follows all links between the Markdown files of the repository, and with MACPOOL_OUTSIDE_LINKS=1 those that lead out of it.
func TestLinks(t *testing.T) {
	links, outside := 0, map[string]string{}
	for _, page := range allPages(t) {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(prose(t, page), ""), -1) {
			target, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				outside[target] = page
				continue
			}
			links++
			if target == "" {
				target = page
			} else {
				target = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			} else if fragment != "" && !slices.Contains(anchors(t, target), fragment) {
				t.Errorf("%s links to %s, which has no such heading", page, m[1])
			}
		}
	}
	if links < 10 {
		t.Errorf("only %d links were found", links)
	}
	if os.Getenv("MACPOOL_OUTSIDE_LINKS") != "" { // others' pages come and go, which is no fault of a change here
		followOutside(t, outside)
	}
}

// followOutside asks for pages of the Internet: address -> the page that links there.
func followOutside(t *testing.T, links map[string]string) {
	t.Helper()
	for address, page := range links {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Errorf("%s links to %s: %v", page, address, err)
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode >= http.StatusBadRequest {
			t.Errorf("%s links to %s, which answers %s", page, address, answer.Status)
		}
	}
}

// TestIndex has every page of the documentation in an index.
func TestIndex(t *testing.T) {
	index := prose(t, "README.md") + prose(t, filepath.Join("install", "README.md"))
	for _, page := range pages(t)[1:] {
		name := filepath.Base(page)
		if name != "README.md" && filepath.Dir(page) != "design" && !strings.Contains(index, name+")") {
			t.Errorf("%s is in no index", page)
		}
	}
}

// TestVersions has all that is to be downloaded be of this release.
func TestVersions(t *testing.T) {
	version, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`github\.com/macpool/macpool/\S*\b(v\d+\.\d+\.\d+)|/charts/macpool --(version \S+)`)
	found := 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			found++
			if got := m[1] + strings.Replace(m[2], "version ", "v", 1); got != strings.TrimSpace(string(version)) {
				t.Errorf("%s names %s, the version is %s", page, m[0], version)
			}
		}
	}
	if found == 0 {
		t.Error("no version was found")
	}
}

// allPages are the Markdown files of the whole repository.
func allPages(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || path == filepath.Join(root, "bin") || path == filepath.Join(root, "dist")) {
			return fs.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// prose is a page without its code blocks.
func prose(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return fenced.ReplaceAllString(string(text), "")
}

// anchors are what a link to a page can point at: ids, and the headings as GitHub spells them.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	if filepath.Ext(page) != ".md" {
		return nil
	}
	text := prose(t, page)
	var all []string
	for _, m := range anchor.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		title := link.ReplaceAllStringFunc(m[1], func(s string) string { return s[1:strings.Index(s, "]")] })
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, title))
	}
	return all
}
