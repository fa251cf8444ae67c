// SPDX-License-Identifier: Apache-2.0

package export

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// claimsIn are the claims of a namespace, or with "" of all that the person may read: of a person who may not list them all, those of each
// namespace in turn, or if these cannot be listed either, those of the namespace at hand. unread are the namespaces that were not read, or what
// stands for them.
func claimsIn(ctx context.Context, c client.Client, namespace, atHand string) (claims []v1alpha1.MacClaim, unread []string, err error) {
	var list v1alpha1.MacClaimList
	err = c.List(ctx, &list, client.InNamespace(namespace))
	if err == nil || namespace != "" || !apierrors.IsForbidden(err) {
		return list.Items, nil, wrap(err)
	}
	var namespaces corev1.NamespaceList
	if err := c.List(ctx, &namespaces); apierrors.IsForbidden(err) {
		err = c.List(ctx, &list, client.InNamespace(atHand))
		return list.Items, []string{"all but " + atHand}, wrap(err)
	} else if err != nil {
		return nil, nil, fmt.Errorf("listing namespaces: %w", err)
	}
	for _, ns := range namespaces.Items {
		var list v1alpha1.MacClaimList
		if err := c.List(ctx, &list, client.InNamespace(ns.Name)); apierrors.IsForbidden(err) {
			unread = append(unread, ns.Name)
		} else if err != nil {
			return nil, nil, wrap(err)
		}
		claims = append(claims, list.Items...)
	}
	return claims, unread, nil
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("listing claims: %w", err)
	}
	return nil
}

// ofPools keeps the claims of pools, of all if none is named. A pool that has none must be there, lest a typing error look like an empty pool.
func ofPools(ctx context.Context, c client.Client, claims []v1alpha1.MacClaim, pools []string) ([]v1alpha1.MacClaim, error) {
	if len(pools) == 0 {
		return claims, nil
	}
	claims = slices.DeleteFunc(claims, func(claim v1alpha1.MacClaim) bool { return !slices.Contains(pools, claim.Spec.PoolRef.Name) })
	for _, pool := range pools {
		if slices.ContainsFunc(claims, func(claim v1alpha1.MacClaim) bool { return claim.Spec.PoolRef.Name == pool }) {
			continue
		}
		if err := c.Get(ctx, types.NamespacedName{Name: pool}, &v1alpha1.MacPool{}); apierrors.IsNotFound(err) {
			return nil, problem.PoolUnknown.New(pool).WithFix("Correct its name: kubectl get macpools lists those that exist.")
		} else if client.IgnoreNotFound(err) != nil && !apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("reading pool %s: %w", pool, err)
		}
	}
	return claims, nil
}
