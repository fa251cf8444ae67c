// SPDX-License-Identifier: Apache-2.0

// Command mutants puts the bugs of the catalogue of incidents into macpool again, one at a time, and runs the tests that are to see
// it. A bug that no test sees is a test that is missing.
//
// The tree is not touched: the compiler is given the changed files in place of those that are there (go test -overlay). The packages under test
// need a real API server and, some of them, root; KUBEBUILDER_ASSETS and MACPOOL_CNI_BIN are taken from the environment, else from the
// scripts in hack.
//
//	go run ./e2e/mutants -list
//	go run ./e2e/mutants -ids M01,M09b
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"k8s.io/utils/clock"

	"github.com/macpool/macpool/e2e/chaos/report"
)

func main() {
	ids := flag.String("ids", "", "the mutants to try, separated by commas; M01 is also M01b. All if empty")
	list := flag.Bool("list", false, "print the table and try nothing")
	sound := flag.Bool("sound", true, "first see that the tests pass without any mutant: one that fails anyhow kills nothing")
	flag.Parse()
	root := context.Background() //nolint:forbidigo // a program's main has no caller
	ctx, stop := signal.NotifyContext(root, os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *ids, *list, *sound)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

var errSurvived = errors.New("no test sees these")

func run(ctx context.Context, ids string, list, sound bool) error {
	chosen, err := choose(ids)
	if err != nil {
		return err
	}
	if list {
		printTable(chosen)
		return nil
	}
	tree, err := filepath.Abs(".")
	if err != nil {
		return fmt.Errorf("finding the tree: %w", err)
	}
	for _, m := range chosen {
		if _, err := m.files(tree); err != nil {
			return err
		}
	}
	w, err := newWorkshop(ctx, tree)
	if err != nil {
		return err
	}
	defer w.close()
	if sound {
		if err := w.sound(ctx, chosen); err != nil {
			return err
		}
	}
	clk := clock.RealClock{}
	began := clk.Now()
	r := &report.Report{Harness: "mutants", Replay: "go run ./e2e/mutants"}
	if ids != "" {
		r.Replay += " -ids " + ids
	}
	var survived []string
	var errs []error
	for _, m := range chosen {
		if ctx.Err() != nil {
			return errors.Join(append(errs, context.Cause(ctx))...)
		}
		start := clk.Now()
		by, err := w.try(ctx, m)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.id, err))
			_, _ = fmt.Fprintf(os.Stdout, "%-5s ERROR, see below: %s\n", m.id, m.bug)
			continue
		}
		seen := report.Mutant{ID: m.id, Killed: by != "", By: by, Seconds: clk.Since(start).Seconds()}
		r.Mutants = append(r.Mutants, seen)
		if seen.Killed {
			_, _ = fmt.Fprintf(os.Stdout, "%-5s killed by %s in %.1f s: %s\n", m.id, by, seen.Seconds, m.bug)
		} else {
			survived = append(survived, m.id)
			_, _ = fmt.Fprintf(os.Stdout, "%-5s SURVIVED %s in %s: %s\n", m.id, strings.Join(m.tests, ", "), m.pkg, m.bug)
		}
	}
	r.Seconds = clk.Since(began).Seconds()
	_, _ = fmt.Fprintf(os.Stdout, "killed: %d of %d\n", len(r.Mutants)-len(survived), len(chosen))
	if ids == "" {
		printUnexpressed()
	}
	if len(survived) > 0 {
		errs = append(errs, fmt.Errorf("%w: %s", errSurvived, strings.Join(survived, ", ")))
	}
	return errors.Join(append(errs, r.Write(os.Getenv(report.DirEnv), reportName(ids)))...)
}

// reportName is another one for each choice, so that a run may be done in parts.
func reportName(ids string) string {
	if ids == "" {
		return "mutants"
	}
	return "mutants-" + strings.ReplaceAll(ids, ",", "-")
}

var errNoSuch = errors.New("there is no such mutant")

// choose is the mutants of a list; a row of the catalogue is all of its mutants.
func choose(ids string) ([]mutant, error) {
	if ids == "" {
		return mutants, nil
	}
	var chosen []mutant
	for id := range strings.SplitSeq(ids, ",") {
		n := len(chosen)
		for _, m := range mutants {
			if m.id == id || m.row() == id {
				chosen = append(chosen, m)
			}
		}
		if len(chosen) == n {
			return nil, fmt.Errorf("%w: %q", errNoSuch, id)
		}
	}
	return chosen, nil
}

func printTable(chosen []mutant) {
	for _, m := range chosen {
		var in []string
		for _, e := range m.edits {
			if !slices.Contains(in, e.file) {
				in = append(in, e.file)
			}
		}
		_, _ = fmt.Fprintf(os.Stdout, "%-5s %s\n      in %s; to be seen by %s in %s\n", m.id, m.bug, strings.Join(in, ", "), strings.Join(m.tests, ", "), m.pkg)
	}
	printUnexpressed()
}

func printUnexpressed() {
	for _, u := range unexpressed {
		_, _ = fmt.Fprintf(os.Stdout, "%-5s not a mutant: %s: %s\n", u.id, u.bug, u.why)
	}
}
