// SPDX-License-Identifier: Apache-2.0

package adds

import (
	"context"
	"fmt"
	"time"

	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/rig"
)

// fullNode is what the agent of a node has resident that has as many pods as it may, in MiB.
type fullNode struct {
	// after all that was measured before, and of a process that was started beside the pods.
	worn, fresh rig.Memory
}

// full attaches as many pods as a node may have, and looks at the agent.
func (w *world) full(ctx context.Context, k *kind) (f fullNode, err error) {
	jobs, err := k.prepare(ctx, most)
	if err != nil {
		return f, err
	}
	attachments := make([]*lab.Attachment, len(jobs))
	err = crowd(10, len(jobs), func(i int) (err error) {
		attachments[i], err = w.spaces[i].Reuse(jobs[i].pod).Attach(ctx, jobs[i].net)
		return err
	})
	if err != nil {
		return f, fmt.Errorf("attaching: %w", err)
	}
	const rest = 15 * time.Second // announcements are over by then, and one report of the node was written
	if err := rig.Pause(ctx, rest); err != nil {
		return f, err
	}
	if f.worn, err = rig.MemoryOf(w.node.Agent.PID()); err != nil {
		return f, err
	}
	if err := w.node.Agent.Stop(ctx); err != nil {
		return f, err
	}
	if err := w.node.RunAgent(ctx); err != nil {
		return f, err
	}
	if err := rig.Pause(ctx, rest); err != nil {
		return f, err
	}
	if f.fresh, err = rig.MemoryOf(w.node.Agent.PID()); err != nil {
		return f, err
	}
	err = crowd(10, len(jobs), func(i int) error { return attachments[i].Detach(ctx) })
	if err != nil {
		return f, fmt.Errorf("detaching: %w", err)
	}
	return f, k.finish(ctx, jobs)
}
