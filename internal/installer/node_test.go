// SPDX-License-Identifier: Apache-2.0

package installer_test

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/macpool/macpool/internal/installer"
)

// tree is what a host has: paths and what is in the files. A path that ends in a slash is a directory; content that begins
// with "-> " is a link.
type tree map[string]string

// node is a host and an image.
type node struct {
	t       *testing.T
	host    string
	source  string
	options installer.Options
}

func newNode(t *testing.T, files tree) *node {
	t.Helper()
	n := &node{t: t, host: t.TempDir(), source: t.TempDir()}
	n.options = installer.Options{Host: n.host, Source: n.source, Platform: installer.Auto, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for p, content := range files {
		n.write(p, content)
	}
	n.release("1")
	return n
}

// release makes the image that of another release.
func (n *node) release(number string) {
	n.t.Helper()
	for _, name := range []string{"macpool", "reference/macvlan", "reference/bridge", "reference/tuning"} {
		writeFile(n.t, filepath.Join(n.source, name), content(filepath.Base(name), number))
	}
}

// content is that of a plugin of the image.
func content(name, release string) string { return name + " of release " + release }

func (n *node) write(p, content string) {
	n.t.Helper()
	full := filepath.Join(n.host, p)
	if strings.HasSuffix(p, "/") {
		if err := os.MkdirAll(full, 0o755); err != nil {
			n.t.Fatal(err)
		}
		return
	}
	if link, ok := strings.CutPrefix(content, "-> "); ok {
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			n.t.Fatal(err)
		}
		if err := os.Symlink(link, full); err != nil {
			n.t.Fatal(err)
		}
		return
	}
	writeFile(n.t, full, content)
}

func writeFile(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// read is the content of a file of the host; "" if there is none.
func (n *node) read(p string) string {
	n.t.Helper()
	content, err := os.ReadFile(filepath.Join(n.host, p))
	if err != nil && !os.IsNotExist(err) {
		n.t.Fatal(err)
	}
	return string(content)
}

// find are the paths of all files of this name, without the links to them.
func (n *node) find(name string) []string {
	n.t.Helper()
	var found []string
	err := filepath.WalkDir(n.host, func(p string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && entry.Name() == name {
			found = append(found, strings.TrimPrefix(p, n.host))
		}
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

func (n *node) installer() *installer.Installer {
	n.t.Helper()
	i, err := installer.New(n.options)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = i.Close() })
	return i
}

// install installs, and fails the test if that is not possible or Check does not agree.
func (n *node) install() {
	n.t.Helper()
	i := n.installer()
	if err := i.Install(); err != nil {
		n.t.Fatal(err)
	}
	if err := i.Check(); err != nil {
		n.t.Fatal("after Install, Check: ", err)
	}
}

func (n *node) remove() {
	n.t.Helper()
	if err := n.installer().Remove(); err != nil {
		n.t.Fatal(err)
	}
}
