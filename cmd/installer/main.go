// SPDX-License-Identifier: Apache-2.0

// Command installer puts macpool's CNI plugin into the directories of a node, keeps it there, and takes it away again. See
// package installer.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/installer"
)

const usage = `usage: installer COMMAND [flags]
  run     install, and install again what is changed, until the end of the process
  check   tell whether everything is in place
  remove  take away what was installed
  wait    do nothing until the end of the process`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "installer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		args = []string{""}
	}
	verb := args[0]
	var options installer.Options
	flags := flag.NewFlagSet("installer "+verb, flag.ExitOnError)
	flags.StringVar(&options.Host, "host", "/host", "where the node's file system is mounted")
	flags.StringVar(&options.Source, "source", "/cni", "the directory that has the plugins to install")
	flags.StringVar(&options.Platform, "platform", cmp.Or(os.Getenv("MACPOOL_PLATFORM"), installer.Auto), "one of "+strings.Join(installer.Platforms(), ", ")+"; default $MACPOOL_PLATFORM")
	binDirs := flags.String("bin-dir", os.Getenv("MACPOOL_BIN_DIR"), "directories of the node to install into and no others, separated by commas; default $MACPOOL_BIN_DIR")
	plugins := flags.String("reference-plugins", os.Getenv("MACPOOL_REFERENCE_PLUGINS"),
		"reference plugins to install where they are missing, separated by commas; default $MACPOOL_REFERENCE_PLUGINS")
	var asJSON bool
	if verb == "check" {
		flags.BoolVar(&asJSON, "json", false, "print what there is on the node as JSON, whether everything is in place or not")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	options.BinDirs, options.ReferencePlugins = list(*binDirs), list(*plugins)
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	options.Log = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	do := map[string]func(*installer.Installer) error{
		"run":    func(i *installer.Installer) error { return i.Run(ctx) },
		"check":  (*installer.Installer).Check,
		"remove": (*installer.Installer).Remove,
	}[verb]
	switch {
	case verb == "wait":
		<-ctx.Done()
		return nil
	case do == nil:
		return fmt.Errorf("%q is no command\n%s", verb, usage)
	case asJSON:
		do = printReport
		options.Log = slog.New(slog.DiscardHandler)
	case verb == "check": // its output becomes an event of the pod
		options.Log = slog.New(slog.DiscardHandler)
	}
	i, err := installer.New(options)
	if err != nil {
		return err
	}
	return errors.Join(do(i), i.Close())
}

func printReport(i *installer.Installer) error {
	report, err := i.Report()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}
