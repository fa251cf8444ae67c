// SPDX-License-Identifier: Apache-2.0

package installer_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/problem"
)

const state = "/var/lib/macpool"

// things are what may stand at a name that is no file, each made at a path.
func things(t *testing.T) map[string]func(path string) error {
	t.Helper()
	victim := filepath.Join(t.TempDir(), "victim")
	writeFile(t, victim, "precious")
	t.Cleanup(func() {
		if content, err := os.ReadFile(victim); err != nil || string(content) != "precious" {
			t.Errorf("where the link leads is %q, %v", content, err)
		}
	})
	return map[string]func(path string) error{
		"a link":             func(path string) error { return os.Symlink(victim, path) },
		"a link beside it":   func(path string) error { return os.Symlink("journal", path) },
		"a link to nothing":  func(path string) error { return os.Symlink("nothing", path) },
		"a pipe":             func(path string) error { return unix.Mkfifo(path, 0o666) },
		"a directory":        func(path string) error { return os.Mkdir(path, 0o755) },
		"a device":           func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o666, 1<<8|5) }, // /dev/zero
		"a socket":           func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o666, 0) },
		"a device of blocks": func(path string) error { return unix.Mknod(path, unix.S_IFBLK|0o600, 7<<8|250) }, // a loop device
	}
}

func place(t *testing.T, put func(string) error, path string) {
	t.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.RemoveAll(path))
	if err == nil {
		err = put(path)
	}
	if errors.Is(err, fs.ErrPermission) {
		t.Skip("needs root, to make a device")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoFileOfThatName has all that is no file at the name of the plugin, before the first installation: it stays, nobody waits for it, and
// the person is told.
func TestNoFileOfThatName(t *testing.T) {
	for name, put := range things(t) {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, nil)
			file := filepath.Join(n.host, bin, "macpool")
			place(t, put, file)
			before, err := os.Lstat(file)
			n.must(err)
			i := n.installer()
			for what, err := range map[string]error{"Install": i.Install(), "Check": i.Check()} {
				if !problem.ForeignPlugin.Is(err) {
					t.Errorf("%s: %v", what, err)
				}
			}
			n.remove()
			if after, err := os.Lstat(file); err != nil || !os.SameFile(before, after) {
				t.Errorf("it did not stay: %v", err)
			}
		})
	}
}

// TestT21SwappedPlugin is threat T21, its part on the node: somebody puts another program, or anything else, in the place of the plugin that
// was installed. Check finds it, Install puts the plugin back in one step, what had taken its place is kept under a name by which nothing
// runs it, and the log says so with both checksums.
func TestT21SwappedPlugin(t *testing.T) {
	swaps := things(t)
	swaps["another program"] = func(path string) error { return os.WriteFile(path, []byte("#!/bin/sh\nhostile"), 0o755) }
	swaps["a program with the set-user-ID bit"] = func(path string) error {
		return errors.Join(os.WriteFile(path, []byte("hostile"), 0o755), os.Chmod(path, 0o755|fs.ModeSetuid))
	}
	for name, swap := range swaps {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, nil)
			n.install()
			var log bytes.Buffer
			n.options.Log = slog.New(slog.NewJSONHandler(&log, nil))
			file := filepath.Join(n.host, bin, "macpool")
			place(t, swap, file)
			hostile, err := os.Lstat(file)
			n.must(err)
			if err := n.installer().Check(); err == nil {
				t.Error("Check is content")
			}
			n.install()
			if got := n.read(bin + "/macpool"); got != content("macpool", "1") {
				t.Errorf("the plugin is %q", got)
			}
			kept := entries(t, n, bin)
			if len(kept) != 2 || !strings.HasPrefix(kept[0], ".macpool-foreign-") {
				t.Fatalf("the directory has %v", kept)
			}
			if after, err := os.Lstat(filepath.Join(n.host, bin, kept[0])); err != nil || !os.SameFile(hostile, after) {
				t.Errorf("what had taken its place was not kept: %v", err)
			}
			for _, want := range []string{`"level":"ERROR"`, "taken the plugin's place", kept[0]} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log has no %q: %s", want, &log)
				}
			}
			n.remove()
			if left := entries(t, n, bin); len(left) != 1 || left[0] != kept[0] {
				t.Errorf("Remove left %v", left)
			}
		})
	}
}

// TestT21ChangedPlugin is the same threat with our own file: it was given to another user, who can write into it, or may be run as root by
// whom root did not mean. It is not left as it is because its content is right.
func TestT21ChangedPlugin(t *testing.T) {
	for name, change := range map[string]func(file string) error{
		"others may write it":   func(file string) error { return os.Chmod(file, 0o777) },
		"it is set-user-ID":     func(file string) error { return os.Chmod(file, 0o755|fs.ModeSetuid) },
		"it belongs to another": func(file string) error { return os.Chown(file, 4711, 4711) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, nil)
			n.install()
			file := filepath.Join(n.host, bin, "macpool")
			changed, err := os.Lstat(file)
			n.must(err)
			if err := change(file); errors.Is(err, fs.ErrPermission) {
				t.Skip("needs root, to give a file away")
			} else if err != nil {
				t.Fatal(err)
			}
			if err := n.installer().Check(); err == nil {
				t.Error("Check is content")
			}
			n.install()
			if after, err := os.Lstat(file); err != nil || os.SameFile(changed, after) || after.Mode() != 0o755 {
				t.Errorf("after Install it is %v, %v", after.Mode(), err)
			}
		})
	}
}

// TestHostileRecord has a record that somebody else has made or can write, and that names files which were never installed. It is not
// believed, nor is anything written where it leads: nothing is removed by it, and the person is told.
func TestHostileRecord(t *testing.T) {
	const forged = `{"directories":{"/opt/cni/bin":{"files":{"bridge":["ba6119931c7010138eec96d9fb75701865908286da45c9f5b7bd2bd6e8b8b3d1"]}}}}`
	for _, file := range []string{"installed.json", "installer.lock"} {
		all := things(t)
		all["another's"] = func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(forged), 0o644), os.Chown(path, 4711, 4711))
		}
		all["one that others can write"] = func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(forged), 0o644), os.Chmod(path, 0o666))
		}
		for name, put := range all {
			t.Run(file+", "+name, func(t *testing.T) {
				n := newNode(t, tree{bin + "/bridge": "theirs", state + "/journal": "the agent's"})
				place(t, put, filepath.Join(n.host, state, file))
				i := n.installer()
				for what, err := range map[string]error{"Install": i.Install(), "Remove": i.Remove()} {
					if !problem.ForeignState.Is(err) || !strings.Contains(err.Error(), state+"/"+file) {
						t.Errorf("%s: %v", what, err)
					}
				}
				if n.read(bin+"/bridge") != "theirs" || n.read(state+"/journal") != "the agent's" || n.read(bin+"/macpool") != "" {
					t.Error("something was changed")
				}
				n.must(os.RemoveAll(filepath.Join(n.host, state, file))) // what the person is told to do
				n.install()
			})
		}
	}
}

// TestDirectoriesOfOthers has directories in which others than root can put programs, or which they can exchange: nothing is installed there,
// and as there is no other, the person is told which and why.
func TestDirectoriesOfOthers(t *testing.T) {
	for name, test := range map[string]struct {
		spoil string
		mode  fs.FileMode
		fails bool
	}{
		"the directory":               {bin, 0o777, true},
		"the directory, sticky":       {bin, 0o777 | fs.ModeSticky, true},
		"one above":                   {"/opt", 0o777, true},
		"one above, sticky, as /tmp":  {"/opt", 0o777 | fs.ModeSticky, false},
		"a group's":                   {bin, 0o775, false},
		"where a link leads":          {"/srv/real", 0o777, true},
		"the directory of the record": {state, 0o777, true},
	} {
		t.Run(name, func(t *testing.T) {
			host := tree{bin + "/": "", state + "/": ""}
			if test.spoil == "/srv/real" {
				host = tree{"/opt/cni": "-> /srv/real/cni", "/srv/real/cni/bin/": "", state + "/": ""}
			}
			n := newNode(t, host)
			n.must(os.Chmod(filepath.Join(n.host, test.spoil), test.mode))
			err := n.installer().Install()
			if !test.fails {
				n.must(err)
				return
			}
			want := problem.NowhereToInstall
			if test.spoil == state {
				want = problem.ForeignState
			}
			if !want.Is(err) || !strings.Contains(err.Error(), test.spoil) || !strings.Contains(err.Error(), "root") {
				t.Errorf("Install: %v", err)
			}
			if left := n.find("macpool"); len(left) != 0 {
				t.Errorf("it is in %v", left)
			}
		})
	}
}
