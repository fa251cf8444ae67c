// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// test is a function of a test file.
type test struct{ file, name string }

// idPattern finds ids, and the first and last of a row such as R-G1…R-G4.
var idPattern = regexp.MustCompile(`\b(R-[A-Z][0-9]+|F[0-9]{1,2}|M[0-3][0-9]|I[1-8])(?:\s*(?:…|–|to)\s*(?:R-[A-Z]|F|M|I)?([0-9]+))?\b`)

// scan finds the tests of the tree under root: id -> those that name it.
func scan(root string) (map[string][]test, error) {
	found := map[string][]test{}
	err := walkTests(root, func(path, name string) error { return scanFile(path, name, found) })
	for _, tests := range found {
		slices.SortFunc(tests, func(a, b test) int { return strings.Compare(a.file+a.name, b.file+b.name) })
	}
	return found, err
}

// walkTests visits all test files of the tree under root, with their paths and with their names in the tree.
func walkTests(root string, visit func(path, name string) error) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "testdata" || d.Name() == "requirements"):
			return fs.SkipDir // this command's own tests are full of ids
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return visit(path, filepath.ToSlash(rel))
	})
}

func scanFile(path, name string, found map[string][]test) error {
	source, err := os.ReadFile(path) //nolint:gosec // a file of the tree
	if err != nil {
		return fmt.Errorf("reading a test: %w", err)
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("reading a test: %w", err)
	}
	for _, decl := range file.Decls {
		function, ok := decl.(*ast.FuncDecl)
		if !ok || function.Recv != nil || !isTest(function.Name.Name) {
			continue
		}
		begin := function.Pos()
		if function.Doc != nil {
			begin = function.Doc.Pos()
		}
		text := source[files.Position(begin).Offset:files.Position(function.End()).Offset]
		for _, id := range append(ids(string(text)), threats(function.Name.Name)...) {
			t := test{file: name, name: function.Name.Name}
			if !slices.Contains(found[id], t) {
				found[id] = append(found[id], t)
			}
		}
	}
	return nil
}

func isTest(name string) bool {
	return strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") || strings.HasPrefix(name, "Benchmark")
}

// threatPattern finds the threats that a test is named after, as in TestT1T2HostileAnnotations: of what is attacked the comments of many
// tests speak, and a test named after it attacks it.
var threatPattern = regexp.MustCompile(`^Test((?:T[0-9]{1,2})+)(?:[A-Z]|$)`)

func threats(name string) []string {
	match := threatPattern.FindStringSubmatch(name)
	if match == nil {
		return nil
	}
	var all []string
	for n := range strings.SplitSeq(match[1][1:], "T") {
		all = append(all, "T"+n)
	}
	return all
}

// ids are the ids that a text names, rows written out.
func ids(text string) []string {
	var all []string
	for _, match := range idPattern.FindAllStringSubmatch(text, -1) {
		all = append(all, match[1])
		if match[2] == "" {
			continue
		}
		prefix := strings.TrimRight(match[1], "0123456789")
		from, _ := strconv.Atoi(strings.TrimPrefix(match[1], prefix)) // digits, by the pattern
		to, _ := strconv.Atoi(match[2])
		for n := from + 1; n <= min(to, from+40); n++ {
			all = append(all, fmt.Sprintf("%s%0*d", prefix, len(match[1])-len(prefix), n))
		}
	}
	return all
}
