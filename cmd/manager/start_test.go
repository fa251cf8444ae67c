// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// aManager is one that reads pods of an API server that does not answer, or nothing.
func aManager(t *testing.T, reads bool) manager.Manager {
	t.Helper()
	listens, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0") // and takes no connection
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listens.Close() })
	mgr, err := ctrl.NewManager(&rest.Config{Host: "http://" + listens.Addr().String()}, ctrl.Options{
		Metrics: metricsserver.Options{BindAddress: "0"},
		MapperProvider: func(*rest.Config, *http.Client) (apimeta.RESTMapper, error) {
			mapper := apimeta.NewDefaultRESTMapper(nil)
			mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), apimeta.RESTScopeNamespace)
			return mapper, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if reads {
		if _, err := mgr.GetCache().GetInformer(t.Context(), &corev1.Pod{}, cache.BlockUntilSynced(false)); err != nil {
			t.Fatal(err)
		}
	}
	return mgr
}

// A manager that is stopped while it reads the cluster ends, and one that is at work ends when its work has.
func TestStop(t *testing.T) {
	for name, reads := range map[string]bool{"while it reads the cluster": true, "at work": false} {
		t.Run(name, func(t *testing.T) {
			mgr := aManager(t, reads)
			working, finished := make(chan struct{}), false
			err := mgr.Add(everyReplica(func(ctx context.Context) error {
				close(working)
				<-ctx.Done()
				time.Sleep(100 * time.Millisecond)
				finished = true
				return nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- start(ctx, mgr) }()
			if reads {
				select {
				case <-working:
					t.Fatal("it is at work before it has read the cluster")
				case <-time.After(100 * time.Millisecond):
				}
			} else {
				<-working
			}
			stop()
			select {
			case err := <-ended:
				if err != nil || finished == reads {
					t.Errorf("it ended with %v, and its work has ended: %t", err, finished)
				}
			case <-time.After(10 * time.Second):
				t.Error("it does not end")
			}
		})
	}
}

// What ends a manager is told.
func TestFailedWorkIsTold(t *testing.T) {
	mgr, failed := aManager(t, false), errors.New("it cannot be done")
	if err := mgr.Add(everyReplica(func(context.Context) error { return failed })); err != nil {
		t.Fatal(err)
	}
	if err := start(t.Context(), mgr); !errors.Is(err, failed) {
		t.Errorf("it ended with %v", err)
	}
}
