// SPDX-License-Identifier: Apache-2.0

// Command chart writes what the Helm chart shares with config/: it reads what kustomize renders of config/default and
// config/prometheus, and writes
// all of it but the namespace and what has settings as templates of the chart. It writes the version too, wherever one has to
// stand. The workloads and what else has settings are templates by hand; a test in charts compares everything with kustomize.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	version := flag.String("version", "", "the version, such as v0.1.0")
	chart := flag.String("chart", "charts/macpool", "the directory of the chart")
	flag.Usage = func() {
		_, _ = fmt.Fprintln(flag.CommandLine.Output(), "usage: chart [FLAG]... KUSTOMIZATION... <RENDERED, where each KUSTOMIZATION names the images' tag")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(os.Stdin, *version, *chart, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(rendered io.Reader, version, chart string, kustomizations []string) error {
	for _, file := range kustomizations {
		if err := stamp(file, version, `(?m)^(  newTag: ).*$`); err != nil {
			return err
		}
	}
	if err := stamp(filepath.Join(chart, "Chart.yaml"), version, `(?m)^(appVersion: ).*$`); err != nil {
		return err
	}
	if err := stamp(filepath.Join(chart, "Chart.yaml"), strings.TrimPrefix(version, "v"), `(?m)^(version: ).*$`); err != nil {
		return err
	}
	text, err := io.ReadAll(rendered)
	if err != nil {
		return fmt.Errorf("reading what kustomize renders: %w", err)
	}
	files, err := templates(string(text))
	if err != nil {
		return err
	}
	// What config/ no longer has must not stay in the chart.
	dir := filepath.Join(chart, "templates", "generated")
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing the old templates: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // G301: a directory of the tree
		return fmt.Errorf("making room for templates: %w", err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil { //nolint:gosec // G306: a file of the tree
			return fmt.Errorf("writing a template: %w", err)
		}
	}
	return nil
}

// stamp writes the version behind what the pattern's group matches. A file without such a place is an error.
func stamp(file, version, pattern string) error {
	text, err := os.ReadFile(file) //nolint:gosec // G304: the file that the caller names
	if err != nil {
		return fmt.Errorf("reading where the version goes: %w", err)
	}
	place := regexp.MustCompile(pattern)
	if version == "" || !place.Match(text) {
		return fmt.Errorf("writing version %q to %s: there is none, or no place for it", version, file)
	}
	text = place.ReplaceAll(text, []byte("${1}"+version))
	if err := os.WriteFile(file, text, 0o644); err != nil { //nolint:gosec // G306: a file of the tree
		return fmt.Errorf("writing the version: %w", err)
	}
	return nil
}
