// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDemo tells the whole story to its end, after it was interrupted at several moments and in several ways: each time
// nothing is left of it, no process, no mount and, but after SIGKILL, no file.
func TestDemo(t *testing.T) {
	demo := filepath.Join(t.TempDir(), "demo")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", demo, "./demo")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the demo: %v\n%s", err, out)
	}
	before := mounts(t)
	for name, c := range map[string]struct {
		signal   syscall.Signal
		after    string // a line of the story
		wantCode int
	}{
		"interrupted while the cluster starts": {syscall.SIGINT, "1. The cluster starts", 130},
		"terminated while pods are attached":   {syscall.SIGTERM, "node-a: ADD of net1 for pod db-0", 130},
		"killed":                               {syscall.SIGKILL, "node-b: ADD of net1 for pod db-1", -1},
	} {
		t.Run(name, func(t *testing.T) {
			d := startDemo(t, demo)
			d.await(t, c.after)
			if err := d.cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			d.end(t, c.wantCode)
			assertNothingLeft(t, d.tmp, before, c.signal == syscall.SIGKILL)
		})
	}
	t.Run("told to the end", func(t *testing.T) {
		d := startDemo(t, demo)
		d.await(t, "The end")
		d.end(t, 0)
		assertNothingLeft(t, d.tmp, before, false)
	})
}

// telling is a running demo.
type telling struct {
	cmd  *exec.Cmd
	tmp  string // its TMPDIR: no other process has it
	said bytes.Buffer
	out  *bufio.Reader
}

func startDemo(t *testing.T, path string) *telling {
	t.Helper()
	// Short: sockets lie beneath it.
	tmp, err := os.MkdirTemp("", "d") //nolint:usetesting // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	d := &telling{tmp: tmp, cmd: exec.CommandContext(t.Context(), path)}
	d.cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	d.cmd.Dir = options.Root
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stderr = d.cmd.Stdout
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.out = bufio.NewReader(io.TeeReader(out, &d.said))
	return d
}

// await reads on until a line contains the words.
func (d *telling) await(t *testing.T, words string) {
	t.Helper()
	for {
		line, err := d.out.ReadString('\n')
		if strings.Contains(line, words) {
			return
		}
		if err != nil {
			t.Fatalf("the demo ended without saying %q:\n%s", words, d.said.String())
		}
	}
}

func (d *telling) end(t *testing.T, wantCode int) {
	t.Helper()
	_, _ = io.Copy(io.Discard, d.out)
	err := d.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := d.cmd.ProcessState.ExitCode(); got != wantCode {
		t.Errorf("exit code %d, want %d; it said\n%s", got, wantCode, d.said.String())
	}
}

// assertNothingLeft looks for processes by what they have in their environment, for mounts, and for files. A network
// namespace needs a process or a mount to live.
func assertNothingLeft(t *testing.T, tmp string, mountsBefore string, killed bool) {
	t.Helper()
	eventually(t, "its processes are gone", func(context.Context) error {
		left := processesWith(t, tmp)
		if len(left) > 0 {
			return fmt.Errorf("there are %v", left)
		}
		return nil
	})
	if after := mounts(t); after != mountsBefore {
		t.Errorf("mounts after the demo:\n%s\nbefore:\n%s", after, mountsBefore)
	}
	files, err := filepath.Glob(filepath.Join(tmp, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if killed {
		// The supervisor had no chance. What is left is the directory as the machine sees it, without the laboratory's files.
		for _, dir := range files {
			if inside, err := os.ReadDir(dir); err != nil || len(inside) > 1 {
				t.Errorf("%s has %v, %v", dir, inside, err)
			}
		}
		return
	}
	if len(files) > 0 {
		t.Errorf("files were left: %v", files)
	}
}

// processesWith are the processes whose environment has the directory, zombies excepted.
func processesWith(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		env, err := os.ReadFile(f)
		if err == nil && bytes.Contains(env, []byte("TMPDIR="+dir)) {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "comm"))
			found = append(found, strings.TrimSpace(string(name)))
		}
	}
	return found
}

func mounts(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
