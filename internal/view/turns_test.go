// SPDX-License-Identifier: Apache-2.0

package view

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/macpool/macpool/api/v1alpha1"
)

// The leases are read before the claims, and the claims when the leases are known. Where no leases are read nothing waits for them.
func TestLeasesAreReadFirst(t *testing.T) {
	claims, leases := claimsWithLeases(10)
	for what, withLeases := range map[string]bool{"with leases": true, "without": false} {
		t.Run(what, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var of turns
			asked, answer := make(chan string, 2), make(chan struct{})
			source := func(kind string, list k8sruntime.Object, wait <-chan struct{}) toolscache.ListerWatcher {
				return toolscache.ToListWatcherWithWatchListSemantics(&toolscache.ListWatch{
					ListFunc: func(metav1.ListOptions) (k8sruntime.Object, error) {
						asked <- kind
						if wait != nil {
							<-wait
						}
						return list, nil
					},
					WatchFunc: func(metav1.ListOptions) (watch.Interface, error) { return watch.NewFake(), nil },
				}, unstreamed{})
			}
			ofClaims := of.newInformer(source("claims", claims, nil), &v1alpha1.MacClaim{}, 0, toolscache.Indexers{})
			informers := []toolscache.SharedIndexInformer{ofClaims}
			if withLeases {
				informers = append(informers, of.newInformer(source("leases", leases, answer), &v1alpha1.MacLease{}, 0, toolscache.Indexers{}))
			}
			for _, informer := range informers {
				go informer.RunWithContext(ctx)
			}
			if withLeases {
				if first := <-asked; first != "leases" || ofClaims.HasSynced() {
					t.Errorf("%s are read first", first)
				}
				close(answer)
			}
			for _, informer := range informers {
				if !toolscache.WaitForCacheSync(t.Context().Done(), informer.HasSynced) {
					t.Fatal("an informer did not sync")
				}
			}
			if next := <-asked; next != "claims" {
				t.Errorf("%s are read next", next)
			}
		})
	}
}

// An informer whose turn does not come ends with its context.
func TestTurnThatDoesNotCome(t *testing.T) {
	var of turns
	nobody := &toolscache.ListWatch{}
	of.newInformer(nobody, &v1alpha1.MacLease{}, 0, toolscache.Indexers{})
	claims := of.newInformer(nobody, &v1alpha1.MacClaim{}, 0, toolscache.Indexers{})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	claims.RunWithContext(ctx) // or it would read from nobody
	if claims.HasSynced() {
		t.Error("it has read something")
	}
}
