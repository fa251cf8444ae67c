// SPDX-License-Identifier: Apache-2.0

package adds

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/e2e/lab"
)

// crowd does n things, as many at a time as there are callers, in order. Its error is the first that is met; the others are like it, mostly.
func crowd(callers, n int, do func(i int) error) error {
	var next atomic.Int64
	errs := make([]error, n)
	var all sync.WaitGroup
	for range min(callers, n) {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[i] = do(i)
			}
		})
	}
	all.Wait()
	return cmp.Or(errs...)
}

// job is a pod and the network that it is attached to.
type job struct {
	pod *corev1.Pod
	net lab.Network
}

// pass is what all ADDs of some jobs came to, or all DELs.
type pass struct {
	took []float64 // of each, in ms
	rate float64   // how many in a second
	usage
}

// attach attaches all jobs and detaches them again, with as many callers at a time.
func (w *world) attach(ctx context.Context, callers int, jobs []job) (add, del pass, err error) {
	attachments := make([]*lab.Attachment, len(jobs))
	add, err = w.pass(ctx, callers, len(jobs), func(i int) (err error) {
		attachments[i], err = w.spaces[i].Reuse(jobs[i].pod).Attach(ctx, jobs[i].net)
		return err
	})
	if err != nil {
		return add, del, fmt.Errorf("attaching: %w", err)
	}
	del, err = w.pass(ctx, callers, len(jobs), func(i int) error { return attachments[i].Detach(ctx) })
	if err != nil {
		return add, del, fmt.Errorf("detaching: %w", err)
	}
	return add, del, nil
}

func (w *world) pass(ctx context.Context, callers, n int, do func(i int) error) (p pass, err error) {
	before, err := w.usage(ctx)
	if err != nil {
		return p, err
	}
	p.took = make([]float64, n)
	begin := time.Now()
	err = crowd(callers, n, func(i int) error {
		start := time.Now()
		err := do(i)
		p.took[i] = float64(time.Since(start)) / float64(time.Millisecond)
		return err
	})
	p.rate = float64(n) / time.Since(begin).Seconds()
	if err != nil {
		return p, err
	}
	after, err := w.usage(ctx)
	p.usage = after.since(before)
	return p, err
}
