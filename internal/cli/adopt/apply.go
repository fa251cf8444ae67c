// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// apply creates what is not there. Nothing that is there is changed: what somebody has made meanwhile is said, and the next run looks at it.
func (a *answer) apply(ctx context.Context, c client.Client, dryRun bool) error {
	var options []client.CreateOption
	verb := "created"
	if dryRun {
		options, verb = append(options, client.DryRunAll), "created (dry run)"
	}
	a.made = map[string]string{}
	var failed []error
	create := func(key string, object client.Object) {
		switch err := c.Create(ctx, object, options...); {
		case err == nil:
			a.made[key] = verb
		case apierrors.IsAlreadyExists(err):
			a.made[key] = "there already: run this again to see whether it differs"
		default:
			a.made[key] = "refused"
			failed = append(failed, fmt.Errorf("creating %s: %w", key, err))
		}
	}
	for _, pool := range a.pools {
		create("macpool/"+pool.Name, pool.DeepCopy())
	}
	for _, claim := range a.claims {
		create("macclaim/"+claim.Namespace+"/"+claim.Name, claim.DeepCopy())
	}
	return errors.Join(failed...)
}

// macIn is the MAC of a claim's address in a pool.
func macIn(pool *v1alpha1.MacPool, claim *v1alpha1.MacClaim) string {
	rules, err := binding.PlanOf(pool)
	if err != nil || len(claim.Spec.IPs) == 0 {
		return ""
	}
	ip, err := netip.ParseAddr(string(claim.Spec.IPs[0]))
	if err != nil {
		return ""
	}
	slot, ok := rules.SlotOf(ip)
	if !ok {
		return ""
	}
	return rules.Address(slot).MAC.String()
}
