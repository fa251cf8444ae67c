// SPDX-License-Identifier: Apache-2.0

// Package explain is the command kubectl macpool explain.
package explain

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/ledger"
	"github.com/macpool/macpool/internal/problem"
)

// New is the command.
func New(f *cli.Factory) *cobra.Command {
	var output cli.Output
	c := &cobra.Command{
		Use:   "explain (POD | CLAIM)",
		Short: "Tell why a pod or claim waits, and what to do",
		Long: `Tell why a pod or claim waits, and what to do.

It reads the pod with its events and networks annotation, its claims, their pools, and what the agent of its node reports, and tells
what is wrong in the words of the catalogue (docs/errors.md). The exit status is 3 if something is.`,
		Example: `  # A pod, or one of another namespace
  kubectl macpool explain -n default db-0
  kubectl macpool explain default/db-1

  # A claim
  kubectl macpool explain -n default db-0.iot.net1`,
		Args:              cli.OneArgument("the pod or claim", "db-0"),
		ValidArgsFunction: f.CompleteHolder,
		RunE: func(c *cobra.Command, args []string) error {
			if err := output.Check(); err != nil {
				return err
			}
			key, err := keyOf(f, args[0])
			if err != nil {
				return err
			}
			in, err := read(c.Context(), f, key)
			if err != nil {
				return err
			}
			a := judge(in)
			a.f = f
			if err := output.Write(f.Out, a); err != nil {
				return err
			}
			if len(a.Findings) > 0 {
				return cli.ErrFound
			}
			return nil
		},
	}
	output.AddTo(c)
	return c
}

// keyOf is the object that is asked about: kubectl's pod/NAME is taken too.
func keyOf(f *cli.Factory, text string) (types.NamespacedName, error) {
	for _, kind := range []string{"pod/", "pods/", "po/", "macclaim/", "macclaims/", "mc/"} {
		text = strings.TrimPrefix(text, kind)
	}
	namespace, err := f.Namespace()
	if err != nil {
		return types.NamespacedName{}, err
	}
	q, err := ledger.ParseQuery(text, namespace)
	if err != nil {
		return types.NamespacedName{}, err
	}
	if q.Object.Name == "" {
		return types.NamespacedName{}, fmt.Errorf("%s is an address: write a pod or claim; kubectl macpool who %s tells whose it is", q, q)
	}
	return q.Object, nil
}

// evidence is all that a judgement rests on.
type evidence struct {
	key      types.NamespacedName
	snapshot *ledger.Snapshot
	// pod is nil if the question is about a claim.
	pod    *corev1.Pod
	events []corev1.Event
	// networks is what is wrong with the pod's networks annotation.
	networks []*problem.Error
}

// read reads it. A pod comes before a claim of the same name.
func read(ctx context.Context, f *cli.Factory, key types.NamespacedName) (*evidence, error) {
	c, err := f.Client()
	if err != nil {
		return nil, err
	}
	in := &evidence{key: key}
	if in.snapshot, err = f.Snapshot(ctx); err != nil {
		return nil, err
	}
	about := client.MatchingFields{"involvedObject.name": key.Name}
	pod := &corev1.Pod{}
	switch err := c.Get(ctx, key, pod); {
	case err == nil:
		in.pod = pod
	case !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("reading pod %s: %w", key, err)
	case in.snapshot.Claim(key.Namespace, key.Name) == nil:
		return nil, fmt.Errorf("there is no pod and no claim %s: kubectl get pods,macclaims -n %s lists them", key, key.Namespace)
	}
	var events corev1.EventList
	if err := c.List(ctx, &events, client.InNamespace(key.Namespace), about); err != nil {
		return nil, fmt.Errorf("listing the events of %s: %w", key, err)
	}
	in.events = events.Items
	if in.pod != nil {
		in.networks, err = networksOf(ctx, c, in.pod)
	}
	return in, err
}
