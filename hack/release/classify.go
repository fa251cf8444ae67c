// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/licenseclassifier/v2/assets"
	"golang.org/x/mod/module"
)

// allowed are the licences, by their SPDX identifiers, that what is linked into our programs may have: those that ask for no more than
// that their text goes with the program, which `licenses` sees to. Another one is a decision, and comes with its reason.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"}

// A licence is one or several licences that hold together, as an SPDX expression: "Apache-2.0 AND BSD-3-Clause".
type licence string

// and joins the identifiers that texts were recognized as.
func and(ids map[string]bool) licence {
	return licence(strings.Join(slices.Sorted(maps.Keys(ids)), " AND "))
}

// check refuses a licence that is unknown, or not allowed.
func (l licence) check() error {
	if l == "" {
		return fmt.Errorf("its licence is none that is known")
	}
	for id := range strings.SplitSeq(string(l), " AND ") {
		if !slices.Contains(allowed, id) {
			return fmt.Errorf("its licence is %s; allowed are %s", id, strings.Join(allowed, ", "))
		}
	}
	return nil
}

// known reads the texts of all licences, which takes most of a second, when the first text is to be recognized.
var known = sync.OnceValues(assets.DefaultClassifier)

// recognize tells what licence a module has by its texts, all of which hold.
func recognize(texts [][]byte) (licence, error) {
	ids := map[string]bool{}
	for _, text := range texts {
		names, err := namesIn(text)
		if err != nil {
			return "", err
		}
		for _, name := range names {
			ids[name] = true
		}
	}
	return and(ids), nil
}

// seen are the licences in the texts that were looked at: the same texts are in many files of a release. Digest -> identifiers.
var seen sync.Map

// namesIn are the licences in a text, those included that it refers to by their usual header. A line of copyright is none.
func namesIn(text []byte) ([]string, error) {
	digest := digestOf(text)
	if names, ok := seen.Load(digest); ok {
		return names.([]string), nil //nolint:errcheck // nothing else is stored
	}
	all, err := known()
	if err != nil {
		return nil, fmt.Errorf("reading the licences that are known: %w", err)
	}
	var names []string
	for _, match := range all.Match(all.Normalize(text)).Matches {
		if match.MatchType == "License" || match.MatchType == "Header" {
			names = append(names, match.Name)
		}
	}
	seen.Store(digest, names)
	return names, nil
}

// checkLicenses is the subcommand check-licenses: it tells what licence each module has, by the texts in the cache of modules, and fails
// when one is not allowed.
func checkLicenses(args []string, stdout io.Writer) error {
	flags := newFlags("check-licenses", "MODULE@VERSION...")
	_ = flags.Parse(args) // a wrong flag has ended the program

	roots, err := goEnv("GOMODCACHE")
	if err != nil {
		return err
	}
	count := map[licence]int{}
	var refused []string
	for _, arg := range flags.Args() {
		path, version, _ := strings.Cut(arg, "@")
		texts, err := licenseTexts(roots[0], module.Version{Path: path, Version: version})
		if err != nil {
			return err
		}
		found, err := recognize(slices.Collect(maps.Values(texts)))
		if err != nil {
			return err
		}
		count[found]++
		if err := found.check(); err != nil {
			refused = append(refused, fmt.Sprintf("%s: %v", arg, err))
		}
	}
	for _, l := range slices.Sorted(maps.Keys(count)) {
		if _, err := fmt.Fprintf(stdout, "%4d  %s\n", count[l], l); err != nil {
			return err
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("this must not be linked into our programs:\n  %s", strings.Join(refused, "\n  "))
	}
	return nil
}

// licenseTexts reads the licence texts of a module in the cache of modules, by the names of their files. There is at least one.
func licenseTexts(cache string, m module.Version) (map[string][]byte, error) {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", m, err)
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", m, err)
	}
	texts, err := textsIn(filepath.Join(cache, path+"@"+version))
	if err != nil {
		return nil, fmt.Errorf("reading the licence of %s: %w", m, err)
	}
	return texts, nil
}

// textsIn reads the licence texts in a directory.
func textsIn(dir string) (map[string][]byte, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	texts := map[string][]byte{}
	for _, file := range files {
		if file.IsDir() || !licenseFile.MatchString(file.Name()) {
			continue
		}
		if texts[file.Name()], err = os.ReadFile(filepath.Join(dir, file.Name())); err != nil { //nolint:gosec // G304: of the cache of modules
			return nil, err
		}
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("there is none in %s", dir)
	}
	return texts, nil
}
