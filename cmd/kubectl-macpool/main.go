// SPDX-License-Identifier: Apache-2.0

// Command kubectl-macpool answers questions about the addresses of VLANs: kubectl macpool --help.
package main

import (
	"os"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/macpool/macpool/internal/cli/root"
)

func main() {
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	os.Exit(root.Execute(root.New(streams), streams))
}
