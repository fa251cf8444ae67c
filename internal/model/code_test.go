// SPDX-License-Identifier: Apache-2.0

package model

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestCode sees that the functions are there that steps and guards stand for: a model of code that has moved on shows nothing.
func TestCode(t *testing.T) {
	known := map[string]bool{}
	for _, dir := range []string{"../agent", "../allocator", "../binding", "../keylock", "../timeline", "../../controllers"} {
		functions(t, dir, known)
	}
	named := 0
	check := func(where, code string) {
		if code == "" {
			return
		}
		named++
		if !known[code] {
			t.Errorf("%s stands for %s, which is not there", where, code)
		}
	}
	for a := range nActions {
		if descriptions[a].text == "" {
			t.Errorf("action %d has no description", a)
		}
		check(descriptions[a].text, descriptions[a].code)
	}
	for kind := createLease; kind <= deleteRecord; kind++ {
		check(writes[kind].text, writes[kind].code)
	}
	for g := range nGuards {
		if guardTexts[g].name == "" {
			t.Errorf("guard %d has no name", g)
		}
		check(guardTexts[g].name, guardTexts[g].code)
	}
	if named < 50 {
		t.Errorf("only %d steps and guards name a function", named)
	}
}

// TestEveryGuardHasACase sees that no guard or assumption is there that nothing is shown for.
func TestEveryGuardHasACase(t *testing.T) {
	var shown Guards
	for _, c := range append(Cases(), Assumptions()...) {
		shown |= Off(c.Off...)
	}
	for g := range nGuards {
		if shown&Off(g) == 0 {
			t.Errorf("%s is in no case", g)
		}
	}
}

// functions enters the functions of a directory, as package.function or package.type.function.
func functions(t *testing.T, dir string, known map[string]bool) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := file.Name.Name + "."
			if f.Recv != nil {
				recv := f.Recv.List[0].Type
				if star, ok := recv.(*ast.StarExpr); ok {
					recv = star.X
				}
				if generic, ok := recv.(*ast.IndexExpr); ok {
					recv = generic.X
				}
				if id, ok := recv.(*ast.Ident); ok {
					name += id.Name + "."
				}
			}
			known[name+f.Name.Name] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
