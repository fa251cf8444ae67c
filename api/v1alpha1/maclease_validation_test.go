// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// validLease is the lease that the cases edit.
func validLease() *v1alpha1.MacLease {
	return &v1alpha1.MacLease{
		ObjectMeta: metav1.ObjectMeta{Name: newName("vlan") + ".192.168.50.8"},
		Spec: v1alpha1.MacLeaseSpec{
			PoolName: "iot", MAC: "02:32:00:a8:32:08", IPs: []v1alpha1.IPAddress{"192.168.50.8", "fd00:50::8"},
			ClaimRef: v1alpha1.ClaimRef{Namespace: "iot", Name: "db-0.iot.net1", UID: "uid"},
			LeasedAt: metav1.Now(),
		},
	}
}

func TestMacLeaseCreate(t *testing.T) {
	past := map[string]any{"namespace": "iot", "claim": "c", "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:01:00Z"}
	for name, tc := range map[string]struct {
		edit       func(fields)
		wantErrors []string
	}{
		"valid":                 {},
		"released":              {edit: both(set("spec.releasedAt", "2026-01-01T00:00:00Z"), set("spec.reusableAt", "2026-01-01T00:01:00Z"))},
		"IPv6 name":             {edit: set("metadata.name", "vlan-50.fd00-0050-0000-0000-0000-0000-0000-0008")},
		"name with a colon":     {edit: set("metadata.name", "vlan-50.fd00:50::8"), wantErrors: []string{"a lowercase RFC 1123 subdomain must consist of"}},
		"no pool":               {edit: set("spec.poolName", nil), wantErrors: []string{"spec.poolName: Required value"}},
		"no MAC":                {edit: set("spec.mac", nil), wantErrors: []string{"spec.mac: Required value"}},
		"no addresses":          {edit: set("spec.ips", nil), wantErrors: []string{"spec.ips must be set: only a lease that is named after its MAC has none"}},
		"a MAC alone":           {edit: both(set("metadata.name", "vlan-50.02-32-00-a8-32-08"), set("spec.ips", nil))},
		"the lock of a MAC":     {edit: set("metadata.name", "vlan-50.00-1b-21-a8-32-08")},
		"named almost as a MAC": {edit: both(set("metadata.name", "vlan-50.02-32-00-a8-32-08-00"), set("spec.ips", nil)), wantErrors: []string{"spec.ips must be set"}},
		"no claim":              {edit: set("spec.claimRef", nil), wantErrors: []string{"spec.claimRef: Required value"}},
		"claim without a UID":   {edit: set("spec.claimRef.uid", ""), wantErrors: []string{"spec.claimRef.uid in body should be at least 1 chars long"}},
		"no time":               {edit: set("spec.leasedAt", nil), wantErrors: []string{"spec.leasedAt: Required value"}},
		"multicast MAC":         {edit: set("spec.mac", "f1:fd:59:0b:bd:2b"), wantErrors: []string{multicastMAC}},
		"zero MAC":              {edit: set("spec.mac", "00:00:00:00:00:00"), wantErrors: []string{zeroMAC}},
		"upper-case MAC":        {edit: set("spec.mac", "02:32:00:A8:32:08"), wantErrors: []string{lowerMAC}},
		"non-canonical address": {edit: set("spec.ips.1", "fd00:50:0::8"), wantErrors: []string{canonicalIP}},
		"a past":                {edit: set("spec.history", []any{past})},
		"too much history":      {edit: set("spec.history", slices.Repeat([]any{past}, v1alpha1.MaxLeaseHistory+1)), wantErrors: []string{"must have at most 8 items"}},
	} {
		t.Run(name, func(t *testing.T) {
			checkErrors(t, dryCreate(t, validLease(), tc.edit), tc.wantErrors)
		})
	}
}

// TestMacLeaseCreatedOnce is what all else rests on: of two that take one address, the API server lets one win.
func TestMacLeaseCreatedOnce(t *testing.T) {
	lease := validLease()
	mustCreate(t, lease.DeepCopy())
	second := lease.DeepCopy()
	second.Spec.ClaimRef.UID = "another"
	if err := api.Create(t.Context(), second); !apierrors.IsAlreadyExists(err) {
		t.Errorf("creating the name again: got %v, want AlreadyExists", err)
	}
}
