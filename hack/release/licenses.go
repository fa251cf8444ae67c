// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/module"
)

// ours is the module that is released.
const ours = "github.com/macpool/macpool"

var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents|copyright)([-._].*)?$`)

// licenses is the subcommand: it collects the licence texts of every module that the given binaries are built of, each below
// a directory of the module's path, from the cache of modules that they were built from.
func licenses(args []string, _ io.Writer) error {
	flags := newFlags("licenses", "BINARY...")
	out := flags.String("o", "licenses", "the directory to write, which must not be there yet")
	own := flags.String("own", "LICENSE", "the licence of "+ours)
	_ = flags.Parse(args) // a wrong flag has ended the program

	roots, err := goEnv("GOMODCACHE", "GOROOT")
	if err != nil {
		return err
	}
	modules, err := modulesOf(flags.Args())
	if err != nil {
		return err
	}
	for m := range modules {
		texts, err := licenseTexts(roots[0], m)
		if err != nil {
			return err
		}
		if err := writeTexts(texts, filepath.Join(*out, m.Path)); err != nil {
			return err
		}
	}
	texts, err := textsIn(roots[1])
	if err != nil {
		return fmt.Errorf("reading the licence of Go: %w", err)
	}
	if err := writeTexts(texts, filepath.Join(*out, "go")); err != nil {
		return err
	}
	text, err := os.ReadFile(*own)
	if err != nil {
		return fmt.Errorf("reading our licence: %w", err)
	}
	return writeTexts(map[string][]byte{"LICENSE": text}, filepath.Join(*out, ours))
}

func writeTexts(texts map[string][]byte, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making room for a licence: %w", err)
	}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil { //nolint:gosec // G306: a text that everybody may read
			return fmt.Errorf("writing a licence: %w", err)
		}
	}
	return nil
}

func goEnv(names ...string) ([]string, error) {
	answer, err := exec.Command("go", append([]string{"env"}, names...)...).Output() //nolint:gosec // G204: names are of this file
	if err != nil {
		return nil, fmt.Errorf("asking go env: %w", err)
	}
	return strings.Split(strings.TrimSpace(string(answer)), "\n"), nil
}

// isOurs tells whether a module is of this repository, which has one in hack for each tool.
func isOurs(path string) bool { return path == ours || strings.HasPrefix(path, ours+"/") }

// modulesOf returns the modules that the binaries say they are built of, without this repository's own.
func modulesOf(binaries []string) (map[module.Version]bool, error) {
	modules := map[module.Version]bool{}
	for _, file := range binaries {
		info, err := buildinfo.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading what %s is built of: %w", file, err)
		}
		for _, m := range append(info.Deps, &info.Main) {
			if m.Replace != nil {
				m = m.Replace
			}
			if !isOurs(m.Path) {
				modules[module.Version{Path: m.Path, Version: m.Version}] = true
			}
		}
	}
	return modules, nil
}
