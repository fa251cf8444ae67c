// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestExchangedAtTheLastMoment has a name that stands for another thing than when it was looked at: what is there now is neither replaced nor
// removed, is no longer away than one rename takes, and nothing of ours is left beside it.
func TestExchangedAtTheLastMoment(t *testing.T) {
	image := filepath.Join(t.TempDir(), "macpool")
	if err := os.WriteFile(image, []byte("ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := readBinary(PluginName, image)
	if err != nil {
		t.Fatal(err)
	}
	does := map[string]func(dir *os.Root, seen present) error{
		"install":         func(dir *os.Root, seen present) error { return install(dir, b, seen, "") },
		"install, aside":  func(dir *os.Root, seen present) error { return install(dir, b, seen, "aside") },
		"remove":          func(dir *os.Root, seen present) error { return remove(dir, PluginName, seen) },
		"install, no one": func(dir *os.Root, _ present) error { return install(dir, b, present{}, "") },
	}
	exchanges := map[string]func(file string) error{
		"another file": func(file string) error { return os.WriteFile(file+".new", []byte("theirs"), 0o755) },
		"a link":       func(file string) error { return os.Symlink("/etc/passwd", file+".new") },
		"a directory":  func(file string) error { return os.Mkdir(file+".new", 0o755) },
		"another mode": func(file string) error {
			return errors.Join(os.WriteFile(file+".new", []byte("old"), 0o755), os.Chmod(file+".new", 0o777))
		},
	}
	for what, do := range does {
		for by, exchange := range exchanges {
			t.Run(what+", "+by, func(t *testing.T) {
				dir, err := os.OpenRoot(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				defer dir.Close() //nolint:errcheck // of the test
				file := filepath.Join(dir.Name(), PluginName)
				if err := os.WriteFile(file, []byte("old"), 0o755); err != nil {
					t.Fatal(err)
				}
				seen, err := inspect(dir, PluginName)
				if err == nil {
					err = errors.Join(exchange(file), os.RemoveAll(file), os.Rename(file+".new", file))
				}
				if err != nil {
					t.Fatal(err)
				}
				before, err := os.Lstat(file)
				if err != nil {
					t.Fatal(err)
				}
				if err := do(dir, seen); !errors.Is(err, errChanged) && !errors.Is(err, os.ErrExist) {
					t.Errorf("it went on: %v", err)
				}
				after, err := os.Lstat(file)
				if err != nil || !os.SameFile(before, after) {
					t.Errorf("the name stands for another thing now: %v", err)
				}
				var left []string
				entries, err := os.ReadDir(dir.Name())
				for _, e := range entries {
					left = append(left, e.Name())
				}
				if diff := cmp.Diff([]string{PluginName}, left); diff != "" || err != nil {
					t.Errorf("beside it are (-want +got) %v\n%s", err, diff)
				}
			})
		}
	}
}

// TestT21ChecksumAtInstall is threat T21's checksum: a plugin that is exchanged in the image after its checksum was taken does not get to
// the node, neither in a new place nor in that of an older one.
func TestT21ChecksumAtInstall(t *testing.T) {
	image := filepath.Join(t.TempDir(), "macpool")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(image, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("good")
	b, err := readBinary(PluginName, image)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close() //nolint:errcheck // of the test
	var older present
	for _, want := range []string{"", "good"} {
		write("hostile")
		if err := install(dir, b, older, ""); err == nil || !strings.Contains(err.Error(), "has the checksum") {
			t.Errorf("in the place of %q: %v", want, err)
		}
		if got, err := dir.ReadFile(PluginName); string(got) != want || err != nil && want != "" {
			t.Errorf("there is %q, want %q (%v)", got, want, err)
		}
		if older.exists {
			return
		}
		write("good")
		if err := install(dir, b, older, ""); err != nil {
			t.Fatal(err)
		}
		if older, err = inspect(dir, PluginName); err != nil {
			t.Fatal(err)
		}
	}
}
