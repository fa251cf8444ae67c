// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// toolSource is a program that is ours, and is built of a module of somebody else.
const toolSource = `package main

import "golang.org/x/mod/semver"

func main() { println(semver.IsValid("v1.0.0")) }
`

// tool builds the program of a commit, as hack/release.sh builds ours. Changed, the tree has something that is in no commit.
func tool(t *testing.T, changed bool) string {
	t.Helper()
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	requirement, _, _ := strings.Cut(output(t, "", "go", "list", "-m", "golang.org/x/mod"), "\n")
	for name, text := range map[string]string{
		"go.mod": "module " + ours + "/tool\n\ngo 1.26.0\n\nrequire " + requirement + "\n", "go.sum": string(sums), "main.go": toolSource,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	output(t, dir, "git", "init", "-q")
	output(t, dir, "git", "add", ".")
	output(t, dir, "git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "A program")
	if changed {
		if err := os.WriteFile(filepath.Join(dir, "more.go"), []byte("package main\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(t.TempDir(), "tool")
	output(t, dir, "go", "build", "-buildvcs=true", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
	return program
}

// output runs a command, and returns what it prints.
func output(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir, command.Stderr = dir, os.Stderr
	// A commit of the same time is the same commit: what is made of it is the same in each test.
	command.Env = append(os.Environ(), "GOOS=linux", "GOFLAGS=", "CGO_ENABLED=0", "GIT_AUTHOR_DATE=@0 +0000", "GIT_COMMITTER_DATE=@0 +0000")
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return string(out)
}

// imageOf makes an image of a program and the licence texts of what it is built of, with a text beside them.
func imageOf(t *testing.T, program, file, ref string, more ...string) {
	t.Helper()
	texts := filepath.Join(t.TempDir(), "texts")
	if err := licenses([]string{"-o", texts, "-own", "../../LICENSE", program}, io.Discard); err != nil {
		t.Fatal(err)
	}
	args := []string{
		"-format", "oci", "-o", file, "-ref", ref, "-platform", "linux/" + runtime.GOARCH,
		"bin/tool=" + program, "etc/text=text:no program", "licenses=" + texts,
	}
	if err := image(append(args, more...), io.Discard); err != nil {
		t.Fatal(err)
	}
}
