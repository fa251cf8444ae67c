// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// What fails is tried again after firstRetry, then after twice as long each time, and after lastRetry at most. controller-runtime would go on to a
// quarter of an hour: after an API server was away for some minutes, what had failed meanwhile would wait for as long again.
const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// options are those of a controller with so many workers.
func options(workers int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: workers,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
	}
}
