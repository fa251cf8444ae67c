// SPDX-License-Identifier: Apache-2.0

package memapi

import (
	"context"
	"sync"

	"github.com/go-logr/logr"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Manager runs controllers on a Client and a Cache: as much of a manager.Manager as they use. It elects no leader and serves
// nothing.
type Manager struct {
	manager.Manager

	live      *Client
	cache     *Cache
	log       logr.Logger
	runnables []manager.Runnable
}

// NewManager makes a manager that has not started.
func NewManager(live *Client, views *Cache, log logr.Logger) *Manager {
	return &Manager{live: live, cache: views, log: log}
}

// Start runs what was added, and the cache, until ctx ends or one of them fails; then it waits for them.
func (m *Manager) Start(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { _ = m.cache.Start(ctx) })
	failures := make(chan error, len(m.runnables))
	if m.cache.WaitForCacheSync(ctx) {
		for _, r := range m.runnables {
			running.Go(func() {
				if err := r.Start(ctx); err != nil && ctx.Err() == nil {
					failures <- err
					stop()
				}
			})
		}
	}
	running.Wait()
	select {
	case err := <-failures:
		return err
	default:
		return nil
	}
}

// Add is manager.Manager's.
func (m *Manager) Add(r manager.Runnable) error {
	m.runnables = append(m.runnables, r)
	return nil
}

// GetCache is manager.Manager's.
func (m *Manager) GetCache() cache.Cache { return m.cache }

// GetClient is manager.Manager's: it reads from the cache and writes live.
func (m *Manager) GetClient() client.Client { return cachedClient{m.live, m.cache} }

// GetAPIReader is manager.Manager's.
func (m *Manager) GetAPIReader() client.Reader { return m.live }

// GetFieldIndexer is manager.Manager's.
func (m *Manager) GetFieldIndexer() client.FieldIndexer { return m.cache }

// GetScheme is manager.Manager's.
func (m *Manager) GetScheme() *runtime.Scheme { return m.live.Scheme() }

// GetRESTMapper is manager.Manager's.
func (m *Manager) GetRESTMapper() apimeta.RESTMapper { return m.live.RESTMapper() }

// GetLogger is manager.Manager's.
func (m *Manager) GetLogger() logr.Logger { return m.log }

// GetControllerOptions is manager.Manager's. Many managers of one process have controllers of the same names.
func (m *Manager) GetControllerOptions() config.Controller {
	return config.Controller{SkipNameValidation: new(true)}
}

// Elected is manager.Manager's: nobody waits.
func (m *Manager) Elected() <-chan struct{} {
	elected := make(chan struct{})
	close(elected)
	return elected
}

type cachedClient struct {
	*Client

	cache *Cache
}

func (c cachedClient) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return c.cache.Get(ctx, key, object, options...)
}

func (c cachedClient) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return c.cache.List(ctx, list, options...)
}
