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

// startLimit is how long a controller may wait for the cluster to be read. A million leases and their pods take many minutes, and a manager that
// controller-runtime ends after two of them begins from the start, for ever. What cannot be read is in the log, and keeps it from being ready.
const startLimit = 24 * time.Hour

// options are those of a controller with so many workers.
func options(workers int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: workers,
		CacheSyncTimeout:        startLimit,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
	}
}
