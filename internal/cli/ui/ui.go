// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/macpool/macpool/internal/cli"
)

type options struct {
	port    uint16
	browser bool
}

// New is the command kubectl macpool ui.
func New(f *cli.Factory) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "ui",
		Short: "Show the map of the pools as a web page on this machine, live",
		Long: `Show the map of the pools as a web page on this machine, live.

The page has the list of the pools, the map of each with all its addresses, how it was at any time that the record reaches back to,
and of each address and claim who has it, who had it, and what is wrong. It is operable by keyboard, and has a table for all that the
map shows.

It is served by this command, with your own kubeconfig, on 127.0.0.1 only: nothing is deployed, and nothing can be changed with it.
The printed address has a token; without it the page is shown to nobody. The page ends with the command.

You need to be allowed to get, list and watch the kinds of macpool.dev, and to list events if you want to see those.`,
		Example: `  # Print the address of the page, and serve it until Ctrl-C
  kubectl macpool ui

  # The same for another cluster, and open the browser
  kubectl macpool ui --context home --browser

  # On a port of your choice, such as one that an SSH tunnel leads to
  kubectl macpool ui --port 8090`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return run(ctx, f, o)
		},
	}
	c.Flags().Uint16Var(&o.port, "port", 0, "Port to serve the page on; 0 is any that is free.")
	c.Flags().BoolVar(&o.browser, "browser", false, "Open the page in the browser.")
	return c
}

// run serves the page until ctx ends.
func run(ctx context.Context, f *cli.Factory, o options) error {
	log.SetLogger(logr.Discard()) // what goes wrong with the cluster stands in the page
	config, err := f.RESTConfig()
	if err != nil {
		return err
	}
	live, err := f.Client()
	if err != nil {
		return err
	}
	mirror, err := newMirror(ctx, config)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(o.port))))
	if err != nil {
		return fmt.Errorf("serving the page: %w. Choose another port with --port, or leave it out", err)
	}
	s := &server{book: &book{cluster: mirror, clock: f.Clock}, name: contextName(f, config.Host), live: live}
	guard := newGuard(listener.Addr(), s.handler())
	if _, err := fmt.Fprintf(f.Out, "The map of %s is at\n\n  %s\n\nThe address is a key: whoever of this machine has it can read what you can. Ctrl-C ends it.\n", s.name, guard.address()); err != nil {
		return err
	}
	if o.browser {
		if err := openBrowser(ctx, guard.address()); err != nil {
			_, _ = fmt.Fprintf(f.ErrOut, "The browser could not be opened (%v): open the address yourself.\n", err) // the address has been said
		}
	}
	return serve(ctx, listener, guard)
}

// serve answers until ctx ends. Streams would last for ever: they end with it.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the page: %w", err)
	}
	return nil
}

// contextName is what the person calls the cluster; its address if they have no name for it.
func contextName(f *cli.Factory, host string) string {
	if f.Config.Context != nil && *f.Config.Context != "" {
		return *f.Config.Context
	}
	if raw, err := f.Config.ToRawKubeConfigLoader().RawConfig(); err == nil && raw.CurrentContext != "" {
		return raw.CurrentContext
	}
	return host
}

func openBrowser(ctx context.Context, address string) error {
	command := []string{"xdg-open", address}
	switch runtime.GOOS {
	case "darwin":
		command[0] = "open"
	case "windows":
		command = []string{"rundll32", "url.dll,FileProtocolHandler", address}
	}
	return exec.CommandContext(ctx, command[0], command[1:]...).Run() //nolint:gosec // the address is ours
}
