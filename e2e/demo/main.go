// SPDX-License-Identifier: Apache-2.0

// The demo tells macpool's main story on real parts: make demo. It asserts everything that it claims, exits non-zero if one
// claim fails, and leaves nothing behind, however it ends. KEEP=1 leaves the laboratory running until Ctrl-C.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/macpool/macpool/e2e/lab"
)

func main() {
	root := context.Background() //nolint:forbidigo // the root of the program
	iso := lab.Isolate(root)
	ctx, stop := signal.NotifyContext(root, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ctrl.SetLogger(logr.Discard()) // envtest's; the processes have their own logs
	err := run(ctx, iso)
	interrupted := errors.Is(ctx.Err(), context.Canceled)
	stop()
	switch {
	case errors.Is(err, errKept):
		_, _ = fmt.Fprintln(os.Stdout, "\nStopped. Nothing is left behind.")
	case interrupted:
		_, _ = fmt.Fprintln(os.Stdout, "\nInterrupted. Nothing is left behind.")
		os.Exit(130)
	case err != nil:
		_, _ = fmt.Fprintf(os.Stdout, "\nFAILED: %v\n", err)
		os.Exit(1)
	}
}

// run tells the story. What it leaves running ends with the process.
func run(ctx context.Context, iso *lab.Isolation) error {
	o, err := lab.OptionsFromEnv()
	if err != nil {
		return err
	}
	d := newDemo(os.Stdout, iso, o)
	if err := d.tell(ctx); err != nil {
		if ctx.Err() == nil {
			d.showLogs()
		}
		return err
	}
	if os.Getenv("KEEP") == "" || os.Getenv("KEEP") == "0" {
		return nil
	}
	return d.keep(ctx)
}
