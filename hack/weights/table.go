// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// notable is the share of a program, one in so many bytes, from which on a module is listed that go.mod does not ask for itself.
const notable = 100

// requirement matches a module that a go.mod asks for, for itself.
var requirement = regexp.MustCompile(`(?m)^(?:require )?\t?([a-z0-9.-]+\.[a-z]+/\S+) v\S+$`)

// requirements are the modules that a go.mod asks for, for itself.
func requirements(file string) ([]string, error) {
	text, err := os.ReadFile(file) //nolint:gosec // G304: a go.mod of the tree
	if err != nil {
		return nil, err
	}
	var modules []string
	for _, match := range requirement.FindAllStringSubmatch(string(text), -1) {
		modules = append(modules, match[1])
	}
	return modules, nil
}

// table writes what each module adds to each program: those that go.mod asks for, and others that are a hundredth of one.
func table(weights map[string]*weight, direct []string) string {
	shown := map[string]int64{} // module -> in all programs
	for _, w := range weights {
		for module, size := range w.modules {
			if slices.Contains(direct, module) || size*notable >= w.whole {
				shown[module] += size
			}
		}
	}
	delete(shown, ours)
	delete(shown, library)
	rows := slices.SortedFunc(maps.Keys(shown), func(a, b string) int {
		return cmp.Or(cmp.Compare(shown[b], shown[a]), cmp.Compare(a, b))
	})

	var text strings.Builder
	line := func(name string, size func(w *weight) int64) {
		text.WriteString("| " + name + " |")
		for _, program := range programs {
			if kib := (size(weights[program]) + 512) / 1024; kib > 0 {
				fmt.Fprintf(&text, " %d |", kib)
			} else {
				text.WriteString(" |")
			}
		}
		text.WriteString("\n")
	}
	text.WriteString("| KiB | " + strings.Join(programs, " | ") + " |\n|---|" + strings.Repeat("---:|", len(programs)) + "\n")
	for _, module := range rows {
		line("`"+module+"`", func(w *weight) int64 { return w.modules[module] })
	}
	line("all other modules", func(w *weight) int64 {
		rest := int64(0)
		for module, size := range w.modules {
			if _, ok := shown[module]; !ok && module != ours && module != library {
				rest += size
			}
		}
		return rest
	})
	line("macpool itself", func(w *weight) int64 { return w.modules[ours] })
	line(library, func(w *weight) int64 { return w.modules[library] })
	line("types, texts and tables of all", func(w *weight) int64 {
		rest := w.whole
		for _, size := range w.modules {
			rest -= size
		}
		return rest
	})
	line("**in all**", func(w *weight) int64 { return w.whole })
	return text.String()
}
