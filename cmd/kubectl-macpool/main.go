// SPDX-License-Identifier: Apache-2.0

// Command kubectl-macpool answers questions about the addresses of VLANs: kubectl macpool --help.
package main

import (
	"os"

	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/macpool/macpool/internal/cli/root"
)

func main() {
	ctrl.SetLogger(logr.Discard()) // what is wrong is told by the commands
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	os.Exit(root.Execute(root.New(streams), streams))
}
