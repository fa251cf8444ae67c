// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

const (
	maxLinks      = 40      // of one path, as in the kernel
	maxConfigSize = 4 << 20 // of a configuration file
)

// host is the node's file system, mounted at root. Its paths are the host's: absolute, with links that mean what they mean
// there. os.Root keeps every access inside, even when a link is exchanged between resolving and opening.
type host struct {
	root *os.Root
}

// place is where a path of the host leads.
type place struct {
	// real is the path without links, relative to the host's root.
	real string
	// links are those that were followed, relative to the host's root: changing one makes the path lead elsewhere.
	links []string
}

// resolve follows the links of p inside the host's root. What does not exist yet is taken for directories.
func (h *host) resolve(p string) (place, error) {
	var (
		result = place{real: "."}
		rest   = strings.Split(path.Clean("/"+p), "/")
	)
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			result.real = path.Dir(result.real) // has no links, so this is the parent; that of the root is the root
			continue
		}
		next := path.Join(result.real, name)
		info, err := h.root.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			result.real = next
			continue
		case err != nil:
			return place{}, fmt.Errorf("resolving %s: %w", p, err)
		case info.Mode().Type() != fs.ModeSymlink:
			result.real = next
			continue
		}
		if len(result.links) == maxLinks {
			return place{}, fmt.Errorf("resolving %s: %w", p, syscall.ELOOP)
		}
		link, err := h.root.Readlink(next)
		if err != nil {
			return place{}, fmt.Errorf("resolving %s: %w", p, err)
		}
		result.links = append(result.links, next)
		if path.IsAbs(link) {
			result.real = "."
		}
		rest = append(strings.Split(link, "/"), rest...)
	}
	return result, nil
}

// openDir opens the directory p, which must be root's alone to change; it makes it if create is set.
func (h *host) openDir(p string, create bool) (*os.Root, error) {
	where, err := h.resolve(p)
	if err != nil {
		return nil, err
	}
	if err := h.guard(where.real); err != nil {
		return nil, fmt.Errorf("opening %s: %w", p, err)
	}
	if create {
		if err := h.root.MkdirAll(where.real, 0o755); err != nil {
			return nil, fmt.Errorf("making %s: %w", p, err)
		}
	}
	dir, err := h.root.OpenRoot(where.real)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", p, err)
	}
	return dir, nil
}

// isDir tells whether p is a directory, by whatever links.
func (h *host) isDir(p string) bool {
	info, err := h.stat(p)
	return err == nil && info.IsDir()
}

// isFile tells whether p is a regular file, by whatever links.
func (h *host) isFile(p string) bool {
	info, err := h.stat(p)
	return err == nil && info.Mode().IsRegular()
}

func (h *host) stat(p string) (fs.FileInfo, error) {
	where, err := h.resolve(p)
	if err != nil {
		return nil, err
	}
	return h.root.Lstat(where.real)
}

// readFile reads a regular file of moderate size.
func (h *host) readFile(p string) ([]byte, error) {
	where, err := h.resolve(p)
	if err != nil {
		return nil, err
	}
	file, _, err := openRegular(h.root, where.real)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // was only read
	content, err := io.ReadAll(io.LimitReader(file, maxConfigSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", p, err)
	}
	if len(content) > maxConfigSize {
		return nil, fmt.Errorf("reading %s: it is larger than %d bytes", p, maxConfigSize)
	}
	return content, nil
}

// files are the paths of what the directory p holds, in order; none if there is no such directory.
func (h *host) files(p string) []string {
	where, err := h.resolve(p)
	if err != nil {
		return nil
	}
	entries, err := fs.ReadDir(h.root.FS(), where.real)
	if err != nil {
		return nil
	}
	var paths []string
	for _, entry := range entries {
		if file := path.Join(p, entry.Name()); h.isFile(file) {
			paths = append(paths, file)
		}
	}
	return paths
}

// errNotRegular says that a name is that of a link, a directory, a device or a pipe.
var errNotRegular = errors.New("not a regular file")

// ownerOf is the uid of a file's owner.
func ownerOf(info fs.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1 // no file of Linux, and nobody's
	}
	return int(stat.Uid)
}

// openRegular opens the file name in dir for reading if it is a regular file and no link, without waiting for anybody who
// would write into a pipe.
func openRegular(dir *os.Root, name string) (*os.File, fs.FileInfo, error) {
	seen, err := dir.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !seen.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: %w", name, errNotRegular)
	}
	file, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !os.SameFile(seen, info) { // exchanged meanwhile, perhaps by a link
		err = fmt.Errorf("%s: %w", name, errNotRegular)
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}
