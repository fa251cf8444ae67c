// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// testTimeout ends a mutant that hangs.
const testTimeout = "5m"

// workshop runs tests of a tree of which some files are replaced.
type workshop struct {
	tree, dir string
	env       []string
}

func newWorkshop(ctx context.Context, tree string) (*workshop, error) {
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the changed files: %w", err)
	}
	w := &workshop{tree: tree, dir: dir, env: append(os.Environ(), "CGO_ENABLED=0", "KUBEBUILDER_CONTROLPLANE_START_TIMEOUT=2m")}
	for name, script := range map[string]string{"KUBEBUILDER_ASSETS": "hack/controlplane.sh", "MACPOOL_CNI_BIN": "hack/cniplugins.sh"} {
		if os.Getenv(name) != "" {
			continue
		}
		cmd := exec.CommandContext(ctx, filepath.Join(tree, script)) //nolint:gosec // of this tree
		cmd.Dir, cmd.Stderr = tree, os.Stderr
		path, err := cmd.Output()
		if err != nil {
			w.close()
			return nil, fmt.Errorf("running %s: %w", script, err)
		}
		w.env = append(w.env, name+"="+strings.TrimSpace(string(path)))
	}
	return w, nil
}

func (w *workshop) close() { _ = os.RemoveAll(w.dir) }

// errUnsound: something fails that has nothing to do with what the mutant is.
var errUnsound = errors.New("this says nothing about a mutant")

// sound sees that the tests of all these mutants pass without them.
func (w *workshop) sound(ctx context.Context, all []mutant) error {
	tests := map[string][]string{}
	for _, m := range all {
		tests[m.pkg] = append(tests[m.pkg], m.tests...)
	}
	for _, pkg := range slices.Sorted(maps.Keys(tests)) {
		slices.Sort(tests[pkg])
		if out, err := w.test(ctx, pkg, slices.Compact(tests[pkg])); err != nil {
			return fmt.Errorf("%w: without any, package %s: %w\n%s", errUnsound, pkg, err, tail(out))
		}
	}
	return nil
}

// try runs the tests of a mutant and returns which of them failed first, empty if it survived them.
func (w *workshop) try(ctx context.Context, m mutant) (by string, err error) {
	files, err := m.files(w.tree)
	if err != nil {
		return "", err
	}
	overlay := map[string]string{}
	for path, text := range files {
		changed := filepath.Join(w.dir, m.id+"-"+strings.ReplaceAll(path, "/", "-"))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("writing a changed file: %w", err)
		}
		overlay[filepath.Join(w.tree, path)] = changed
	}
	text, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return "", fmt.Errorf("writing the overlay: %w", err)
	}
	list := filepath.Join(w.dir, m.id+".json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		return "", fmt.Errorf("writing the overlay: %w", err)
	}
	out, err := w.test(ctx, m.pkg, m.tests, "-overlay="+list)
	if err == nil {
		return "", nil
	}
	if by := killer(out, m.tests); by != "" && ctx.Err() == nil {
		return by, nil
	}
	return "", fmt.Errorf("%w: no test failed, but: %w\n%s", errUnsound, err, tail(out))
}

// test runs tests of a package. What a vet would find in a mutant is not asked.
func (w *workshop) test(ctx context.Context, pkg string, tests []string, flags ...string) ([]byte, error) {
	args := append([]string{"test", "-trimpath", "-count=1", "-vet=off", "-failfast", "-timeout", testTimeout}, flags...)
	args = append(args, "-run", "^("+strings.Join(tests, "|")+")$", "./"+pkg)
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the table names them
	cmd.Dir, cmd.Env = w.tree, w.env
	// The test is a child of go test's, and goes with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	if bytes.Contains(out, []byte("[no tests to run]")) {
		return out, fmt.Errorf("%w: package %s has no test of this name", errStale, pkg)
	}
	return out, nil
}

var (
	failure = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)
	// hanging is the list of the tests that ran when the time was up, or when one of them panicked.
	hanging  = regexp.MustCompile(`(?m)^panic: test timed out|^panic: `)
	notBuilt = regexp.MustCompile(`(?m)\[(build|setup) failed\]$`)
)

// killer is the test that failed, by what go test printed: empty if it was none of these. What was not compiled, or what failed before
// any test began, is no test that failed.
func killer(out []byte, tests []string) string {
	if notBuilt.Match(out) {
		return ""
	}
	for _, failed := range failure.FindAllSubmatch(out, -1) {
		if name := string(failed[1]); slices.Contains(tests, name) {
			return name
		}
	}
	if hanging.Match(out) { // the stack of each goroutine is in there, that of the test as well
		for _, name := range tests {
			if bytes.Contains(out, []byte("."+name+"(")) {
				return name
			}
		}
	}
	return ""
}

// tail is the end of a long text.
func tail(out []byte) []byte {
	const most = 4000
	return out[max(0, len(out)-most):]
}
