// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// filling is a cache that is full when it is said to be.
type filling struct {
	cache.Cache

	full chan struct{}
}

func (filling) Start(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (f filling) WaitForCacheSync(context.Context) bool {
	<-f.full
	return true
}

// What starts with the caches does not wait until they are full, as all else does.
func TestWithCaches(t *testing.T) {
	caches := filling{full: make(chan struct{})}
	mgr, err := ctrl.NewManager(&rest.Config{Host: "127.0.0.1:1"}, ctrl.Options{
		Scheme: newScheme(), Metrics: metricsserver.Options{BindAddress: "0"},
		NewCache:  func(*rest.Config, cache.Options) (cache.Cache, error) { return caches, nil },
		NewClient: func(*rest.Config, client.Options) (client.Client, error) { return nil, nil },
		MapperProvider: func(*rest.Config, *http.Client) (apimeta.RESTMapper, error) {
			return apimeta.NewDefaultRESTMapper(nil), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	early, late := make(chan struct{}), make(chan struct{})
	tell := func(started chan struct{}) manager.RunnableFunc {
		return func(ctx context.Context) error {
			close(started)
			<-ctx.Done()
			return nil
		}
	}
	for _, r := range []manager.Runnable{withCaches{tell(early), mgr.GetCache()}, everyReplica(tell(late))} {
		if err := mgr.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	select {
	case <-early:
	case <-time.After(10 * time.Second):
		t.Error("it waits for the caches")
	}
	select {
	case <-late:
		t.Error("nothing waits for the caches")
	default:
	}
	close(caches.full)
	<-late
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
