// SPDX-License-Identifier: Apache-2.0

package memapi

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// ClaimInUse is the policy of config/policy that refuses to delete a claim while a pod holds it.
func ClaimInUse(a Attempt) error {
	claim, ok := a.Old.(*v1alpha1.MacClaim)
	if !ok || a.Verb != Delete || claim.Status.Holder == nil {
		return nil
	}
	why := problem.ClaimInUse.New(claim.Namespace, claim.Name, claim.Status.Holder.PodName, claim.Status.Holder.NodeName)
	resource := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "macclaims"}
	return apierrors.NewForbidden(resource, claim.Name, errors.New("denied request: "+why.Error()))
}
