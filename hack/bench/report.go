// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/plot"
)

// report reads the results of all sections that have one, draws their charts, prints their tables, and writes report.md, with what there is to say
// of the machine.
func report(dir string, machine []string) error {
	var text bytes.Buffer
	fmt.Fprint(&text, "# Benchmarks\n\nWritten by `make bench`, which docs/benchmarks.md explains. The values behind each figure are in the JSON file of the section.\n\n")
	for _, line := range machine {
		fmt.Fprintf(&text, "- %s\n", line)
	}
	var results []*measure.Result
	for _, one := range sections {
		raw, err := os.ReadFile(filepath.Join(dir, one.name+".json")) //nolint:gosec // G304: the directory of the report
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading a result: %w", err)
		}
		var result measure.Result
		if err := json.Unmarshal(raw, &result); err != nil {
			return fmt.Errorf("reading the result of %s: %w", one.name, err)
		}
		results = append(results, &result)
	}
	writeTargets(&text, results)
	for _, result := range results {
		if err := writeSection(&text, dir, result); err != nil {
			return err
		}
	}
	if _, err := os.Stdout.Write(text.Bytes()); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "report.md"), text.Bytes(), 0o644) //nolint:gosec // G306: a report is for everybody
}

func writeTargets(text *bytes.Buffer, results []*measure.Result) {
	table := measure.Table{Title: "Targets", Header: []string{"section", "what", "measured", "target", "met"}}
	for _, result := range results {
		for _, t := range result.Targets {
			met := "yes"
			if !t.Met() {
				met = "**no**"
			}
			table.Rows = append(table.Rows, []string{result.Section, t.Name, t.Figure(), t.Goal(), met})
		}
	}
	if len(table.Rows) > 0 {
		writeTable(text, table)
	}
}

func writeSection(text *bytes.Buffer, dir string, result *measure.Result) error {
	fmt.Fprintf(text, "\n## %s\n\n%s\n\n%s\n", result.Section, result.About, result.Conditions)
	for _, table := range result.Tables {
		writeTable(text, table)
	}
	for _, chart := range result.Charts {
		file := chart.Name + ".svg"
		if err := os.WriteFile(filepath.Join(dir, file), plot.SVG(chart), 0o644); err != nil { //nolint:gosec // G306: a report is for everybody
			return fmt.Errorf("drawing %s: %w", chart.Name, err)
		}
		fmt.Fprintf(text, "\n![%s](%s)\n", chart.Title, file)
	}
	return nil
}

func writeTable(text *bytes.Buffer, t measure.Table) {
	if t.Title != "" {
		fmt.Fprintf(text, "\n### %s\n", t.Title)
	}
	fmt.Fprintf(text, "\n| %s |\n|%s\n", strings.Join(t.Header, " | "), strings.Repeat(" --- |", len(t.Header)))
	for _, row := range t.Rows {
		fmt.Fprintf(text, "| %s |\n", strings.Join(row, " | "))
	}
}
