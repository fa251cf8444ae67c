// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/buildinfo"
	"errors"
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
		dir, err := module.EscapePath(m.Path)
		if err != nil {
			return fmt.Errorf("finding %s: %w", m, err)
		}
		version, err := module.EscapeVersion(m.Version)
		if err != nil {
			return fmt.Errorf("finding %s: %w", m, err)
		}
		if err := copyLicenses(filepath.Join(roots[0], dir+"@"+version), filepath.Join(*out, m.Path)); err != nil {
			return fmt.Errorf("copying the licence of %s: %w", m, err)
		}
	}
	if err := copyLicenses(roots[1], filepath.Join(*out, "go")); err != nil {
		return fmt.Errorf("copying the licence of Go: %w", err)
	}
	return copyFile(*own, filepath.Join(*out, ours, "LICENSE"))
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

func copyLicenses(from, to string) error {
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	found := false
	for _, file := range files {
		if file.IsDir() || !licenseFile.MatchString(file.Name()) {
			continue
		}
		found = true
		if err := copyFile(filepath.Join(from, file.Name()), filepath.Join(to, file.Name())); err != nil {
			return err
		}
	}
	if !found {
		return errors.New("there is none")
	}
	return nil
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644) //nolint:gosec // G306: a text that everybody may read
}
