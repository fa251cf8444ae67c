// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// What fails for as long as the API server is away is tried within lastRetry of its return.
func TestRetriesAreNeverFarApart(t *testing.T) {
	o := options(1)
	failing := reconcile.Request{NamespacedName: types.NamespacedName{Name: "failing"}}
	first := o.RateLimiter.When(failing)
	last := first
	for range 100 {
		last = o.RateLimiter.When(failing)
	}
	if first != firstRetry || last != lastRetry {
		t.Errorf("it is tried after %s, and in the end after %s", first, last)
	}
	if other := o.RateLimiter.When(reconcile.Request{}); other != firstRetry {
		t.Errorf("another one waits %s", other)
	}
}
