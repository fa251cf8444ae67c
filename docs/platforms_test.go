// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/macpool/macpool/internal/installer"
)

// TestPlatforms has every platform of the installer's table in the documentation's, with its directories.
func TestPlatforms(t *testing.T) {
	table := prose(t, filepath.Join("install", "README.md"))
	for _, name := range installer.Platforms() {
		if name != installer.Auto && !strings.Contains(table, "| `"+name+"` |") {
			t.Errorf("the table has no platform %s", name)
		}
	}
	source, err := os.ReadFile(filepath.Join(root, "internal", "installer", "platforms.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, line := range regexp.MustCompile(`(?m)^\t\t(?:bins|confs): .*$`).FindAllString(string(source), -1) {
		for _, m := range regexp.MustCompile(`"(/[^"]+)"`).FindAllStringSubmatch(line, -1) {
			found++
			if !strings.Contains(table, "`"+m[1]+"`") {
				t.Errorf("the table does not have %s", m[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d directories were found in the installer's table", found)
	}
}
