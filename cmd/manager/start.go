// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// startsWithin is how long it may take until all that is started at once runs.
const startsWithin = time.Second

// start runs the manager until ctx ends. One that is to end before it has read the cluster does so at once: nothing is under way yet, no lease of a
// leader is held, and controller-runtime would go on waiting for its caches, which it does without a pause (runnableGroup.Start), until it is
// killed.
func start(ctx context.Context, mgr manager.Manager) error {
	atWork := make(chan struct{})
	err := mgr.Add(everyReplica(func(ctx context.Context) error {
		close(atWork) // what is not a cache is started when the caches are full
		<-ctx.Done()
		return nil
	}))
	if err != nil {
		return fmt.Errorf("adding what tells that the cluster was read: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case <-atWork:
		return <-ended
	case err := <-ended:
		return err
	case <-time.After(startsWithin):
		return nil
	}
}
