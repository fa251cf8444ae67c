// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/chaos/oracle"
)

// backupGrace is how long a lease from a backup waits for its claim, which is an hour unless somebody says so.
const backupGrace = 10 * time.Second

// restoreBackup is F29 (R-B2): pods and their claims are deleted, and a backup brings their leases back, before their claims. They are kept
// for a grace although nobody has them, and given back after it.
func restoreBackup(w *world, rng *rand.Rand) {
	g := w.newGuests(rng, loadNamespace, "main", "backup", 3)
	g.each(func(s *slot) {
		s.create()
		for range 20 {
			if s.pod == nil || s.try() == nil {
				break
			}
			w.pause(300 * time.Millisecond)
		}
	})
	var saved []*v1alpha1.MacLease
	for _, s := range g.slots {
		lease := &v1alpha1.MacLease{}
		if s.box != nil && w.admin.Get(w.ctx, client.ObjectKey{Name: s.address}, lease) == nil {
			saved = append(saved, lease)
		}
	}
	g.leave()
	end := w.plan.during("F29", "leases restored from a backup", nil)
	defer end()
	for _, lease := range saved {
		if w.bringBack(lease) {
			w.inject("F29", "lease restored from a backup", "m5-m6")
		}
	}
	w.pause(backupGrace)
}

// bringBack makes the lease again when its claim has given it back, as a restore does, and watches it for a while.
func (w *world) bringBack(saved *v1alpha1.MacLease) bool {
	again := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: saved.Name, Labels: map[string]string{}}, Spec: saved.Spec}
	maps.Copy(again.Labels, saved.Labels)
	again.Labels["velero.io/restore-name"] = "backup"
	for deadline := w.clock.Now().Add(20 * time.Second); ; w.pause(200 * time.Millisecond) {
		record := &v1alpha1.MacLease{}
		err := w.admin.Get(w.ctx, client.ObjectKey{Name: saved.Name}, record)
		switch {
		case err == nil && record.Spec.ReleasedAt == nil && record.Spec.ClaimRef != saved.Spec.ClaimRef:
			return false // another has it by now
		case err == nil && record.Spec.ReleasedAt != nil:
			// The backup is restored into a cluster that knows nothing of it.
			err = w.admin.Delete(w.ctx, record, client.Preconditions{UID: &record.UID, ResourceVersion: &record.ResourceVersion})
		}
		if apierrors.IsNotFound(err) || err == nil && record.Spec.ReleasedAt != nil {
			if err := w.admin.Create(w.ctx, again.DeepCopy()); err == nil {
				break
			}
		}
		if w.ctx.Err() != nil || w.clock.Now().After(deadline) {
			return false
		}
	}
	for begin := w.clock.Now(); w.clock.Since(begin) < backupGrace/3; w.pause(200 * time.Millisecond) {
		live := &v1alpha1.MacLease{}
		err := w.admin.Get(w.ctx, client.ObjectKey{Name: saved.Name}, live)
		if apierrors.IsNotFound(err) || err == nil && (live.Spec.ReleasedAt != nil || live.Spec.ClaimRef != saved.Spec.ClaimRef) {
			w.violation(oracle.Violation{Kind: oracle.FalseRelease, Text: fmt.Sprintf("lease %s from a backup was not kept: %v, %+v (R-B2)", saved.Name, err, live.Spec)})
			break
		}
	}
	return true
}
