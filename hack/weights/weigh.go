// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"strings"
)

// ours is the module whose programs are weighed; library stands for what comes with Go.
const (
	ours    = "github.com/macpool/macpool"
	library = "Go's library and runtime"
)

// A weight is what a program consists of, in bytes.
type weight struct {
	whole   int64            // as a release has it, without symbols and what only a debugger reads
	modules map[string]int64 // module -> code and data that have a name of it
}

// weigh adds up the symbols of a program by the modules that they are of.
func weigh(file string) (*weight, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var modules []string
	for _, m := range info.Deps {
		modules = append(modules, m.Path)
	}
	program, err := elf.Open(file)
	if err != nil {
		return nil, err
	}
	defer program.Close() //nolint:errcheck // only read
	w := &weight{modules: map[string]int64{}}
	for _, section := range program.Sections {
		if section.Flags&elf.SHF_ALLOC != 0 && section.Type != elf.SHT_NOBITS {
			w.whole += int64(section.Size) //nolint:gosec // G115: of a file
		}
	}
	symbols, err := program.Symbols()
	if err != nil {
		return nil, fmt.Errorf("reading its symbols: %w", err)
	}
	for _, s := range symbols {
		if int(s.Section) >= len(program.Sections) || program.Sections[s.Section].Type == elf.SHT_NOBITS {
			continue // not in the file
		}
		if path := packageOf(s.Name); path != "" {
			w.modules[moduleOf(path, modules)] += int64(s.Size) //nolint:gosec // G115: of a file
		}
	}
	return w, nil
}

// packageOf is the path of the package that a symbol is of, or nothing: types, strings and tables of all packages are one symbol.
func packageOf(symbol string) string {
	for _, prefix := range []string{"go:itab.", "type:.eq.", "type:.hash."} { // what the compiler makes for a type
		symbol = strings.TrimPrefix(symbol, prefix)
	}
	symbol = strings.TrimLeft(symbol, "*[]0123456789")
	symbol, _, _ = strings.Cut(symbol, "[") // what a generic function is made for
	symbol, _, _ = strings.Cut(symbol, ",")
	symbol, _, _ = strings.Cut(symbol, "(")
	if strings.Contains(symbol, ":") {
		return ""
	}
	slash := strings.LastIndex(symbol, "/") + 1
	last, _, ok := strings.Cut(symbol[slash:], ".")
	if !ok {
		return ""
	}
	return strings.ReplaceAll(symbol[:slash]+last, "%2e", ".")
}

// moduleOf is the module that a package is of: the longest that its path begins with.
func moduleOf(path string, modules []string) string {
	found := library
	if path == "main" {
		return ours
	}
	for _, m := range append(modules, ours) {
		if (path == m || strings.HasPrefix(path, m+"/")) && (found == library || len(m) > len(found)) {
			found = m
		}
	}
	return found
}
