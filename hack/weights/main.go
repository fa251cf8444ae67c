// SPDX-License-Identifier: Apache-2.0

// Command weights builds our programs and writes into the page that it is given what each module adds to each of them: the table between
// its two markers.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// programs are what we ship.
var programs = []string{"manager", "agent", "macpool", "installer", "kubectl-macpool"}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: weights FILE")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1]); err != nil { //nolint:forbidigo // a program's main has no caller
		fmt.Fprintln(os.Stderr, "weights:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file string) error {
	page, err := os.ReadFile(file) //nolint:gosec // G304: the caller names it
	if err != nil {
		return err
	}
	direct, err := requirements("go.mod")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "macpool-weights-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what stays is in the directory for temporary files
	weights := map[string]*weight{}
	for _, program := range programs {
		if err := build(ctx, program, dir); err != nil {
			return err
		}
		if weights[program], err = weigh(filepath.Join(dir, program)); err != nil {
			return fmt.Errorf("weighing %s: %w", program, err)
		}
	}
	changed, err := replace(page, table(weights, direct))
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return os.WriteFile(file, changed, 0o644) //nolint:gosec // G306: a page that everybody may read
}

// build builds a program as a release has it, but with its symbols.
func build(ctx context.Context, program, dir string) error {
	command := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-trimpath", "-o", dir+"/", ours+"/cmd/"+program) //nolint:gosec // G204: of this file
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOEXPERIMENT=")
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("building %s: %w", program, err)
	}
	return nil
}

const (
	begin = "<!-- weights: make dependencies -->\n"
	end   = "<!-- end of weights -->\n"
)

// replace puts the table between the page's markers.
func replace(page []byte, table string) ([]byte, error) {
	before, rest, ok := bytes.Cut(page, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !ok || !closed {
		return nil, fmt.Errorf("it has no %q and %q", begin, end)
	}
	return fmt.Appendf(nil, "%s%s%s%s%s", before, begin, table, end, after), nil
}
