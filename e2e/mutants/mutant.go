// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mutant is a historical bug, as it would be in macpool.
type mutant struct {
	// id is its row in the catalogue of incidents, with a letter if the row has several mutants.
	id string
	// bug is what others' software did, or would have done here.
	bug   string
	edits []edit
	// tests are the ones of pkg of which at least one must fail.
	pkg   string
	tests []string
}

// edit replaces text that is in a file exactly once.
type edit struct{ file, old, new string }

// unexpressible is a row of the catalogue that no change of our code can bring back.
type unexpressible struct{ id, bug, why string }

// row is the mutant's row in the catalogue: M01 of M01b.
func (m *mutant) row() string { return m.id[:len("M01")] }

var errStale = errors.New("the table of mutants is older than the code")

// files are the files that the mutant changes, as they are then, by path below the tree.
func (m *mutant) files(tree string) (map[string]string, error) {
	changed := map[string]string{}
	for _, e := range m.edits {
		text, ok := changed[e.file]
		if !ok {
			read, err := os.ReadFile(filepath.Join(tree, e.file)) //nolint:gosec // the table names it
			if err != nil {
				return nil, fmt.Errorf("%w: %s: %w", errStale, m.id, err)
			}
			text = string(read)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%w: %s: %s has %d times, not once:\n%s", errStale, m.id, e.file, n, e.old)
		}
		changed[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return changed, nil
}
