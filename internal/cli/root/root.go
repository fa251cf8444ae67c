// SPDX-License-Identifier: Apache-2.0

// Package root puts the commands of kubectl-macpool together.
package root

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/cli/adopt"
	"github.com/macpool/macpool/internal/cli/chart"
	"github.com/macpool/macpool/internal/cli/check"
	"github.com/macpool/macpool/internal/cli/doctor"
	"github.com/macpool/macpool/internal/cli/explain"
	"github.com/macpool/macpool/internal/cli/export"
	"github.com/macpool/macpool/internal/cli/gc"
	"github.com/macpool/macpool/internal/cli/history"
	"github.com/macpool/macpool/internal/cli/ui"
	"github.com/macpool/macpool/internal/cli/who"
)

// New is the command kubectl macpool.
func New(streams genericiooptions.IOStreams) *cobra.Command { return newRoot(cli.NewFactory(streams)) }

func newRoot(f *cli.Factory) *cobra.Command {
	c := &cobra.Command{
		Use:   "kubectl-macpool",
		Short: "Look at the addresses of VLANs, and be told what is wrong with them",
		Long: `Look at the addresses of VLANs, and be told what is wrong with them.

Everything is read with your own kubeconfig; nothing needs to be deployed for it.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl macpool"},
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.SetIn(f.In)
	c.SetOut(f.Out)
	c.SetErr(f.ErrOut)
	f.Config.AddFlags(c.PersistentFlags())
	_ = c.RegisterFlagCompletionFunc("namespace", f.CompleteNamespaces) // the flag is there
	c.AddCommand(
		adopt.New(f),
		chart.New(f),
		check.New(f),
		doctor.New(f),
		explain.New(f),
		export.New(f),
		gc.New(f),
		history.New(f),
		ui.New(f),
		who.New(f),
	)
	return c
}

// Execute runs the program, and returns its exit status. What went wrong has been said then.
func Execute(c *cobra.Command, streams genericiooptions.IOStreams) int {
	err := c.Execute()
	var exit cli.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	}
	_, _ = fmt.Fprintln(cli.Legible(streams.ErrOut), "error:", err) // there is nobody else to tell
	return 1
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
