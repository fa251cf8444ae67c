// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// An entry is one path of an image's file system.
type entry struct {
	path string      // relative, clean, without a slash at its end
	mode fs.FileMode // type and permissions, with fs.ModeSticky where it is set
	link string      // the target of a symbolic link
	text []byte      // what a regular file holds
}

// parseEntries reads the arguments of an image, each of which is one of
//
//	path=FILE        a file, or a tree of them; executable if FILE is
//	path=->TARGET    a symbolic link
//	path=text:TEXT   a file with this text, in which \n is a new line
//	path=dir:MODE    a directory with this mode, in octal digits
//
// In a FILE, {arch} stands for the architecture. Directories above an entry need not be named: they have mode 0755.
func parseEntries(args []string, arch string) (map[string]entry, error) {
	entries := map[string]entry{}
	for _, arg := range args {
		name, source, ok := strings.Cut(arg, "=")
		name = strings.TrimPrefix(path.Clean("/"+name), "/")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q is not path=SOURCE", arg)
		}
		kind, value, _ := strings.Cut(source, ":")
		switch {
		case strings.HasPrefix(source, "->"):
			entries[name] = entry{path: name, mode: fs.ModeSymlink | 0o777, link: source[len("->"):]}
		case kind == "text":
			entries[name] = entry{path: name, mode: 0o644, text: []byte(strings.ReplaceAll(value, `\n`, "\n"))}
		case kind == "dir":
			mode, err := parseMode(value)
			if err != nil {
				return nil, fmt.Errorf("reading the mode of %q: %w", arg, err)
			}
			entries[name] = entry{path: name, mode: fs.ModeDir | mode}
		default:
			if err := addTree(entries, name, strings.ReplaceAll(source, "{arch}", arch)); err != nil {
				return nil, err
			}
		}
	}
	addParents(entries)
	return entries, nil
}

func parseMode(octal string) (fs.FileMode, error) {
	bits, err := strconv.ParseUint(octal, 8, 12)
	if err != nil {
		return 0, err
	}
	mode := fs.FileMode(bits & 0o777)
	if bits&0o1000 != 0 {
		mode |= fs.ModeSticky
	}
	return mode, nil
}

// addTree adds a file, or all files below a directory, as name. Of a file's mode only its executability matters: the rest is
// of the machine that builds.
func addTree(entries map[string]entry, name, source string) error {
	err := filepath.WalkDir(source, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		below, err := filepath.Rel(source, file)
		if err != nil {
			return err
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		at := path.Join(name, filepath.ToSlash(below))
		entries[at] = entry{path: at, mode: mode, text: text}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading what is to be %s: %w", name, err)
	}
	return nil
}

func addParents(entries map[string]entry) {
	var names []string
	for name := range entries {
		names = append(names, name)
	}
	for _, name := range names {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := entries[dir]; !ok {
				entries[dir] = entry{path: dir, mode: fs.ModeDir | 0o755}
			}
		}
	}
}
