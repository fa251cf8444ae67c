// SPDX-License-Identifier: Apache-2.0

// Command chaostable adds up the reports that harnesses have written, of one run or of many, and prints them as the table that
// docs/reliability.md shows. It fails if something is in them that must not be, and with -complete also if a cell of the fault
// matrix was not touched.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"

	"github.com/macpool/macpool/e2e/chaos/report"
)

func main() {
	complete := flag.Bool("complete", false, "fail if a cell of the fault matrix that applies was not touched")
	flag.Parse()
	if err := run(flag.Args(), *complete); err != nil {
		fmt.Fprintln(os.Stderr, "chaostable:", err)
		os.Exit(1)
	}
}

func run(dirs []string, complete bool) error {
	var all []*report.Report
	for _, dir := range dirs {
		reports, err := report.Read(dir)
		if err != nil {
			return err
		}
		for _, r := range reports {
			all = append(all, r)
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("no reports in %v", dirs)
	}
	t := sum(all)
	out := bufio.NewWriter(os.Stdout)
	t.write(out)
	if err := out.Flush(); err != nil {
		return err
	}
	if wrong := t.wrong(); wrong > 0 {
		return fmt.Errorf("%d things were found that must not be", wrong)
	}
	if missed := t.missed(); complete && len(missed) > 0 {
		return fmt.Errorf("not touched: %v", missed)
	}
	return nil
}
