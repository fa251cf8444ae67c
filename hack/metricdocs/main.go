// SPDX-License-Identifier: Apache-2.0

// Command metricdocs writes the catalogue of metrics in internal/metric as Markdown to the file that it is given.
package main

import (
	"fmt"
	"os"

	"github.com/macpool/macpool/internal/metric"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: metricdocs FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], []byte(metric.Markdown()), 0o644); err != nil { //nolint:gosec // G306: a document that everybody may read
		fmt.Fprintln(os.Stderr, "metricdocs:", err)
		os.Exit(1)
	}
}
