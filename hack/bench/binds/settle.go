// SPDX-License-Identifier: Apache-2.0

package binds

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/macpool/macpool/hack/bench/rig"
)

// settle waits until the manager has nothing left to do.
func (s *section) settle(ctx context.Context) error {
	const look, idle = 500 * time.Millisecond, 0.03
	last := rig.CPUSeconds()["manager"]
	return wait.PollUntilContextTimeout(ctx, look, time.Minute, false, func(context.Context) (bool, error) {
		now := rig.CPUSeconds()["manager"]
		quiet := now-last <= idle
		last = now
		return quiet, nil
	})
}
