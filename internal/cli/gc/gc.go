// SPDX-License-Identifier: Apache-2.0

// Package gc is kubectl macpool gc: what the manager will release or forget, when and why; and the ended claims, deleted ahead of their time.
package gc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/invariants"
	"github.com/macpool/macpool/internal/retention"
)

const long = `Show what the macpool-manager will release or forget, when and why, and delete
ended claims ahead of that.

With --dry-run it only shows: claims whose workload is gone and when their retain
is over, addresses that cool down, records of the history, addresses that are set
aside because of a stranger, leases that no claim has, claims whose holder may be
gone and what word is awaited, and what holds releases back. The manager counts by
its own clock and begins anew when it restarts, so a time may be later than shown.

Without --dry-run it deletes the ended claims that it shows, after a question: those
that macpool made, whose workload is gone and that no pod holds. Their addresses
cool down, and then anybody may have them. A claim that was written since it was
shown is left alone. Nothing else needs a person, and nothing else is touched: what
is held or suspect is given back on evidence only.`

const examples = `  # What goes when, in all namespaces
  kubectl macpool gc --dry-run -A

  # Delete the ended claims of a namespace now, without waiting for retain
  kubectl macpool gc -n default

  # The same in a script
  kubectl macpool gc -n default --yes`

type options struct {
	*cli.Factory

	output           cli.Output
	all, dryRun, yes bool
}

// New is the command.
func New(f *cli.Factory) *cobra.Command {
	o := &options{Factory: f}
	c := &cobra.Command{
		Use: "gc", Short: "Show what is released when and why, and delete ended claims ahead of their time", Long: long, Example: examples,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context()) },
	}
	o.addFlags(c)
	return c
}

func (o *options) addFlags(c *cobra.Command) {
	o.output.AddTo(c)
	c.Flags().BoolVarP(&o.all, "all-namespaces", "A", false, "If true, look at the claims and leases of all namespaces.")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "If true, only show.")
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "If true, do not ask before deleting.")
}

func (o *options) run(ctx context.Context) error {
	if err := o.output.Check(); err != nil {
		return err
	}
	namespace := ""
	if !o.all {
		var err error
		if namespace, err = o.Namespace(); err != nil {
			return err
		}
	}
	c, err := o.Client()
	if err != nil {
		return err
	}
	world, err := invariants.Read(ctx, c, o.Clock.Now())
	if err != nil {
		return err
	}
	a := answerOf(world, namespace)
	a.palette = o.Palette()
	if err := o.output.Write(o.Out, a); err != nil || o.dryRun {
		return err
	}
	claims := deletable(world, namespace)
	if len(claims) == 0 {
		o.say("There is no ended claim to delete.")
		return nil
	}
	if !o.yes && !o.agrees(len(claims)) {
		o.say("Nothing was deleted.")
		return nil
	}
	var failures []error
	for _, claim := range claims {
		failures = append(failures, o.remove(ctx, c, claim))
	}
	return errors.Join(failures...)
}

// deletable are the claims that only wait for their retain. What a person made ends by that person.
func deletable(w *invariants.World, namespace string) []*v1alpha1.MacClaim {
	var all []*v1alpha1.MacClaim
	for i := range w.Claims {
		if c := &w.Claims[i]; isIn(c.Namespace, namespace) && isEnded(c) && c.DeletionTimestamp.IsZero() {
			all = append(all, c)
		}
	}
	return all
}

// isEnded tells whether the manager has found that the claim's workload is gone, and nothing holds it.
func isEnded(c *v1alpha1.MacClaim) bool {
	return binding.IsManaged(c) && c.Status.Holder == nil && c.Status.Alternate == nil && !retention.EndedAt(c).IsZero()
}

func isIn(namespace, wanted string) bool { return wanted == "" || namespace == wanted }

// agrees asks the person.
func (o *options) agrees(n int) bool {
	_, _ = fmt.Fprintf(o.ErrOut, "Delete these %d ended claims? Their addresses go to others after the cooldown. [y/N] ", n) // no answer is no
	answer, _ := bufio.NewReader(o.In).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// remove deletes a claim as it was shown: a pod that has come back has written it, through the manager or its node's agent.
func (o *options) remove(ctx context.Context, c client.Client, claim *v1alpha1.MacClaim) error {
	key := client.ObjectKeyFromObject(claim)
	err := c.Delete(ctx, claim, client.Preconditions{UID: &claim.UID, ResourceVersion: &claim.ResourceVersion})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case apierrors.IsConflict(err):
		o.say("claim %s was written since, and is left alone", key)
		return nil
	case err != nil:
		return fmt.Errorf("deleting claim %s: %w", key, err)
	}
	o.say("claim %s deleted", key)
	return nil
}

func (o *options) say(format string, args ...any) {
	_, _ = fmt.Fprintf(o.ErrOut, format+"\n", args...) // there is nobody else to tell
}
