// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	codePattern = regexp.MustCompile(`\bMP[1-9][0-9]{2}\b`)
	// kindPattern finds how Go names the entries of the catalogue.
	kindPattern = regexp.MustCompile(`(?m)^\t([A-Z]\w*) = &Kind\{\n\t\tCode: "(MP[0-9]+)"`)
)

// provocations finds the tests that provoke an error of the catalogue and see it come: code -> those.
//
// To mention a code does not count, since nothing would fail without the error. A test counts if its code, not its comments, compares with the
// entry (problem.PoolUnknown) or looks for its code ("MP302"), other than in what it prints, and if it does not make such an error itself
// (problem.PoolUnknown.New) other than to compare, since then it proves only what becomes of one. Tests of the catalogue, and those that no ordinary run includes, do
// not count.
func provocations(root string, names map[string]string) (map[string][]test, error) {
	found := map[string][]test{}
	err := walkTests(root, func(path, name string) error {
		if strings.HasPrefix(name, "internal/problem/") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("reading a test: %w", err)
		}
		if neverInCI(file) {
			return nil
		}
		helpers := map[string]*sighting{}
		functions := functionsOf(file)
		for _, f := range functions {
			if f.Recv == nil && expects(f.Name) {
				helpers[f.Name.Name] = sight(f, names, nil)
			}
		}
		for _, f := range functions {
			if f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			s := sight(f, names, helpers)
			for code := range s.seen {
				if !s.made[code] {
					found[code] = append(found[code], test{file: name, name: f.Name.Name})
				}
			}
		}
		return nil
	})
	for _, tests := range found {
		slices.SortFunc(tests, func(a, b test) int { return strings.Compare(a.file+a.name, b.file+b.name) })
	}
	return found, err
}

// neverInCI tells whether a file is of the harnesses that are run for hours, on request.
func neverInCI(file *ast.File) bool {
	for _, group := range file.Comments {
		for _, c := range group.List {
			if c.Text == "//go:build chaos" {
				return true
			}
		}
	}
	return false
}

func functionsOf(file *ast.File) []*ast.FuncDecl {
	var all []*ast.FuncDecl
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil {
			all = append(all, f)
		}
	}
	return all
}

// sighting is what a function's code says of codes.
type sighting struct {
	names      map[string]string    // Go's name of the entry -> code
	helpers    map[string]*sighting // what the file's helpers that compare say, by name
	seen, made map[string]bool
}

func sight(f *ast.FuncDecl, names map[string]string, helpers map[string]*sighting) *sighting {
	s := &sighting{names: names, helpers: helpers, seen: map[string]bool{}, made: map[string]bool{}}
	ast.Inspect(f.Body, s.look)
	return s
}

func (s *sighting) look(node ast.Node) bool {
	switch n := node.(type) {
	case *ast.CallExpr:
		if isPrinting(n.Fun) {
			return false
		}
		if name, ok := n.Fun.(*ast.Ident); ok && expects(name) {
			if helper := s.helpers[name.Name]; helper != nil {
				maps.Copy(s.seen, helper.seen)
				maps.Copy(s.made, helper.made)
			}
			for _, arg := range n.Args {
				if code := s.makes(arg); code != "" {
					s.seen[code] = true
				} else {
					ast.Inspect(arg, s.look)
				}
			}
			return false
		}
		if code := s.makes(n); code != "" {
			s.made[code] = true
		}
	case *ast.SelectorExpr:
		if code := s.entry(n); code != "" {
			s.seen[code] = true
		}
	case *ast.BasicLit:
		if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
			for _, code := range codePattern.FindAllString(text, -1) {
				s.seen[code] = true
			}
		}
	}
	return true
}

// entry is the code of an entry that an expression names, as problem.PoolUnknown.
func (s *sighting) entry(e ast.Expr) string {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if pkg, ok := selector.X.(*ast.Ident); !ok || pkg.Name != "problem" {
		return ""
	}
	return s.names[selector.Sel.Name]
}

// makes is the code of the error that an expression makes, as problem.PoolUnknown.New("iot").
func (s *sighting) makes(e ast.Expr) string {
	if call, ok := e.(*ast.CallExpr); ok {
		if method, ok := call.Fun.(*ast.SelectorExpr); ok && method.Sel.Name == "New" {
			return s.entry(method.X)
		}
	}
	return ""
}

// expects tells whether a function is, by its name, a helper that compares: an error that is made for it is what is wanted.
func expects(name *ast.Ident) bool {
	return strings.HasPrefix(name.Name, "check") || strings.HasPrefix(name.Name, "want")
}

// isPrinting tells whether a function is one of those by which a test says something.
func isPrinting(f ast.Expr) bool {
	selector, ok := f.(*ast.SelectorExpr)
	return ok && slices.Contains([]string{"Log", "Logf", "Error", "Errorf", "Fatal", "Fatalf", "Skip", "Skipf"}, selector.Sel.Name)
}

// entryNames are Go's names of the catalogue's entries: name -> code.
func entryNames(root string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(root, "internal", "problem", "catalogue*.go"))
	if err != nil {
		return nil, fmt.Errorf("looking for the catalogue: %w", err)
	}
	names := map[string]string{}
	for _, path := range files {
		text, err := os.ReadFile(path) //nolint:gosec // a file of the tree
		if err != nil {
			return nil, fmt.Errorf("reading the catalogue: %w", err)
		}
		for _, m := range kindPattern.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = m[2]
		}
	}
	return names, nil
}
