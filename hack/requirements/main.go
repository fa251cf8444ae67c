// SPDX-License-Identifier: Apache-2.0

// Command requirements writes the page that says which test shows which requirement. A test claims an id by naming it: in
// its doc comment, in its body, or in its name. For the codes of the error catalogue it does the same of tests that provoke them, which takes more
// than a name.
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
	page, err := write(".")
	if err == nil {
		err = os.WriteFile(os.Args[1], []byte(page), 0o644) //nolint:gosec // G306: a document that everybody may read
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "requirements:", err)
		os.Exit(1)
	}
}

// write is the page of the tree under root.
func write(root string) (string, error) {
	tests, err := scan(root)
	if err != nil {
		return "", err
	}
	names, err := entryNames(root)
	if err != nil {
		return "", err
	}
	provoking, err := provocations(root, names)
	if err != nil {
		return "", err
	}
	return markdown(tests) + codesMarkdown(provoking), nil
}
