// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/cli"
)

// cluster is what the server knows of the cluster: objects, how far it has read them, and when that changes.
type cluster interface {
	client.Reader
	// progress is how far the kinds are read.
	progress() []progress
	// changes counts the changes of objects and of progress.
	changes() (uint64, <-chan struct{})
}

// mirror follows a cluster by watching it.
type mirror struct {
	cache.Cache
	pulse  pulse
	meters []*meter
}

// newMirror follows the cluster until ctx ends. It does not wait for what is there to be read.
func newMirror(ctx context.Context, config *rest.Config) (*mirror, error) {
	m := &mirror{}
	shared := true
	var err error
	m.Cache, err = cache.New(config, cache.Options{
		Scheme:           cli.NewScheme(),
		DefaultTransform: cache.TransformStripManagedFields(),
		// Nothing here changes an object, and a copy of 100,000 at each change would cost more than all else.
		DefaultUnsafeDisableDeepCopy: &shared,
		NewInformer:                  m.newInformer,
	})
	if err != nil {
		return nil, fmt.Errorf("reaching the cluster: %w", err)
	}
	for _, kind := range []client.Object{&v1alpha1.MacPool{}, &v1alpha1.MacClaim{}, &v1alpha1.MacLease{}, &v1alpha1.MacNode{}} {
		informer, err := m.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if apimeta.IsNoMatchError(err) {
			return nil, fmt.Errorf("macpool is not installed in this cluster: it knows no %T. See docs/install, or choose another cluster with --context", kind)
		}
		if err != nil {
			return nil, fmt.Errorf("watching %T: %w", kind, err)
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { m.pulse.beat() },
			UpdateFunc: func(any, any) { m.pulse.beat() },
			DeleteFunc: func(any) { m.pulse.beat() },
		}); err != nil {
			return nil, fmt.Errorf("watching %T: %w", kind, err)
		}
		m.meters[len(m.meters)-1].synced = informer.HasSynced
	}
	go func() { _ = m.Start(ctx) }() // it ends with ctx, and with nothing else
	return m, nil
}

func (m *mirror) newInformer(lw toolscache.ListerWatcher, example runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
	metered := &meter{inner: toolscache.ToListerWatcherWithContext(lw), kind: kindOf(example), moved: m.pulse.beat}
	m.meters = append(m.meters, metered)
	informer := toolscache.NewSharedIndexInformer(metered, example, resync, indexers)
	// The page says what is wrong; the terminal need not, each time that it is tried again.
	_ = informer.SetWatchErrorHandlerWithContext(func(context.Context, *toolscache.Reflector, error) {}) // it has not started
	return informer
}

func (m *mirror) progress() []progress {
	all := make([]progress, 0, len(m.meters))
	for _, metered := range m.meters {
		all = append(all, metered.progress())
	}
	return all
}

func (m *mirror) changes() (uint64, <-chan struct{}) { return m.pulse.state() }

// kindOf is what people call a kind.
func kindOf(object runtime.Object) string {
	switch object.(type) {
	case *v1alpha1.MacPool:
		return "MacPools"
	case *v1alpha1.MacClaim:
		return "MacClaims"
	case *v1alpha1.MacLease:
		return "MacLeases"
	case *v1alpha1.MacNode:
		return "MacNodes"
	}
	return fmt.Sprintf("%T", object)
}
