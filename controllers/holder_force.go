// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// asksForce tells whether an administrator takes the claim from its holder, or has done so and the traces are not removed yet.
func asksForce(claim *v1alpha1.MacClaim) bool {
	_, asked := claim.Annotations[v1alpha1.AnnotationForceRelease]
	_, accepted := claim.Annotations[v1alpha1.AnnotationForceReleaseUpTo]
	return asked || accepted
}

// force ends a hold because an administrator says so, without evidence. Three writes, after each of which this process may end:
//
//  1. which generation is meant, into an annotation beside the administrator's. The next holder, of which the administrator knows
//     nothing, has a higher one; so has the same reason, given again for it;
//  2. the holder is cleared, up to that generation;
//  3. both annotations are removed.
//
// Without holder there is nothing to release, and the annotation goes: it must not wait for the next one.
func (r *HolderReconciler) force(ctx context.Context, key types.NamespacedName) error {
	claim := &v1alpha1.MacClaim{}
	if err := r.APIReader.Get(ctx, key, claim); err != nil {
		return client.IgnoreNotFound(err)
	}
	reason, asked := claim.Annotations[v1alpha1.AnnotationForceRelease]
	holder := claim.Status.Holder
	if asked && holder != nil {
		accepted := claim.Annotations[v1alpha1.AnnotationForceReleaseUpTo]
		if accepted == "" {
			accepted = strconv.FormatInt(holder.Generation, 10)
			if err := r.annotate(ctx, claim, func(annotations map[string]string) {
				annotations[v1alpha1.AnnotationForceReleaseUpTo] = accepted
			}); err != nil {
				return err
			}
		}
		if upTo, err := strconv.ParseInt(accepted, 10, 64); err == nil && holder.Generation <= upTo {
			reason = cmp.Or(strings.TrimSpace(reason), "no reason given")
			claim, err = r.end(ctx, claim, binding.End{Reason: v1alpha1.EndForced, Evidence: "forced: " + reason})
			if err != nil {
				return err
			}
		}
	} else if asked && claim.Annotations[v1alpha1.AnnotationForceReleaseUpTo] == "" {
		r.Recorder.Eventf(claim, nil, corev1.EventTypeNormal, string(v1alpha1.EndForced), "Release", "Nothing holds the claim: there is nothing to release")
	}
	return r.annotate(ctx, claim, func(annotations map[string]string) {
		delete(annotations, v1alpha1.AnnotationForceRelease)
		delete(annotations, v1alpha1.AnnotationForceReleaseUpTo)
	})
}

// annotate changes the annotations of the claim, if it is still as it was read, and makes claim what it is then.
func (r *HolderReconciler) annotate(ctx context.Context, claim *v1alpha1.MacClaim, edit func(map[string]string)) error {
	before := claim.DeepCopy()
	edit(claim.Annotations)
	if err := r.Client.Patch(ctx, claim, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing the annotations of claim %s: %w", client.ObjectKeyFromObject(claim), err)
	}
	return nil
}
