// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// CompleteNamespaces completes the flag -n.
func (f *Factory) CompleteNamespaces(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return f.names(c.Context(), begun, &corev1.NamespaceList{}), cobra.ShellCompDirectiveNoFileComp
}

// CompletePool completes the first argument of a command with the pools.
func (f *Factory) CompletePool(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return f.names(c.Context(), begun, &v1alpha1.MacPoolList{}), cobra.ShellCompDirectiveNoFileComp
}

// CompletePools completes all arguments of a command with the pools.
func (f *Factory) CompletePools(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return f.CompletePool(c, nil, begun)
}

// CompleteHolder completes the first argument of a command with the pods and claims of the namespace.
func (f *Factory) CompleteHolder(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	namespace, err := f.Namespace()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	pods := f.names(c.Context(), begun, &corev1.PodList{}, client.InNamespace(namespace))
	return append(pods, f.names(c.Context(), begun, &v1alpha1.MacClaimList{}, client.InNamespace(namespace))...), cobra.ShellCompDirectiveNoFileComp
}

// names are those of the listed objects that begin so; none if they cannot be listed, for a completion has nobody to tell.
func (f *Factory) names(ctx context.Context, begun string, list client.ObjectList, options ...client.ListOption) []string {
	c, err := f.Client()
	if err != nil || c.List(ctx, list, options...) != nil {
		return nil
	}
	var names []string
	_ = apimeta.EachListItem(list, func(o runtime.Object) error {
		if object, ok := o.(client.Object); ok && strings.HasPrefix(object.GetName(), begun) {
			names = append(names, object.GetName())
		}
		return nil
	})
	return names
}
