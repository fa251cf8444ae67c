// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// brakeHeld is how long a brake is left alone: an administrator does not come at once.
const brakeHeld = 15 * time.Second

// tendBrakes is the administrator whom the brake calls (R-G9, MP308): a manager that was killed again and again has not heard many nodes'
// words, and releases nothing. What is gone here is gone, as the oracles know, so the administrator lets it go on, and switches
// the brake on again afterwards. The report counts how often.
func (w *world) tendBrakes() {
	since := map[string]time.Time{}
	for w.pause(time.Second) {
		var pools v1alpha1.MacPoolList
		if w.unsure.Load() || w.admin.List(w.ctx, &pools) != nil {
			continue
		}
		for i := range pools.Items {
			pool := &pools.Items[i]
			held := apimeta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.PoolReleasesPaused)
			resumed := pool.Annotations[v1alpha1.AnnotationReleases] != ""
			begin, known := since[pool.Name]
			switch {
			case held == resumed:
				delete(since, pool.Name)
			case !known:
				since[pool.Name] = w.clock.Now()
			case w.clock.Since(begin) > brakeHeld:
				patch := client.MergeFrom(pool.DeepCopy())
				if pool.Annotations == nil {
					pool.Annotations = map[string]string{}
				}
				pool.Annotations[v1alpha1.AnnotationReleases] = v1alpha1.ReleasesResumed
				if resumed {
					delete(pool.Annotations, v1alpha1.AnnotationReleases)
				}
				if w.admin.Patch(w.ctx, pool, patch) != nil {
					continue
				}
				delete(since, pool.Name)
				if held {
					w.logf("the brake of pool %s is released", pool.Name)
					w.addFigure("brakes", 1)
				}
			}
		}
	}
}

func (w *world) addFigure(name string, value float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Figures[name] += value
}
