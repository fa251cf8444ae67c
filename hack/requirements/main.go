// SPDX-License-Identifier: Apache-2.0

// Command requirements writes the page that says which test shows which requirement. A test claims an id by naming it: in
// its doc comment, in its body, or in its name.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: requirements FILE, in the root of the tree")
		os.Exit(2)
	}
	tests, err := scan(".")
	if err == nil {
		err = os.WriteFile(os.Args[1], []byte(markdown(tests)), 0o644) //nolint:gosec // G306: a document that everybody may read
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "requirements:", err)
		os.Exit(1)
	}
}
