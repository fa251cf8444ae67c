// SPDX-License-Identifier: Apache-2.0

package lab

import "context"

// multusThin is Multus as a CNI plugin: a process for each call, the direct child of the runtime.
//
//   - When the runtime's time is up, libcni kills this process alone. The delegate that it is waiting for goes on, and whoever that
//     has started; what it prints is read by nobody.
//   - When the runtime itself is killed, Multus goes on to its end.
type multusThin struct{ multusCommon }

func (m *multusThin) add(ctx context.Context, by *caller, s *PodSandbox) error {
	return process(ctx, by, func(ctx context.Context, as *caller) error { return m.cmdAdd(ctx, as, s) })
}

func (m *multusThin) check(ctx context.Context, by *caller, s *PodSandbox) error {
	return process(ctx, by, func(ctx context.Context, as *caller) error { return m.cmdCheck(ctx, as, s) })
}

func (m *multusThin) del(ctx context.Context, by *caller, s *PodSandbox) error {
	return process(ctx, by, func(ctx context.Context, as *caller) error { return m.cmdDel(ctx, as, s) })
}

func (m *multusThin) restart(bool) {}
