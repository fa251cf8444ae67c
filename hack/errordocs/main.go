// SPDX-License-Identifier: Apache-2.0

// Command errordocs writes the error catalogue of internal/problem as Markdown to the file that it is given.
package main

import (
	"fmt"
	"os"

	"github.com/macpool/macpool/internal/problem"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: errordocs FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], []byte(problem.Markdown()), 0o644); err != nil { //nolint:gosec // G306: a document that everybody may read
		fmt.Fprintln(os.Stderr, "errordocs:", err)
		os.Exit(1)
	}
}
