// SPDX-License-Identifier: Apache-2.0

package adds

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/rig"
)

// kind is a way to give pods their addresses.
type kind struct {
	name string
	// prepare makes as many jobs, and has everything there that a cluster would have before the ADDs.
	prepare func(ctx context.Context, count int) ([]job, error)
	// finish removes what is left when all are detached; nil if nothing is.
	finish func(ctx context.Context, jobs []job) error
	// crowdOnly: it is measured with the most callers alone, because each call waits for long.
	crowdOnly bool
}

// The names of the kinds, by which they are compared.
const (
	prebound     = "macpool, pre-bound"
	preboundOff  = "macpool, pre-bound, no probe"
	unboundOff   = "macpool, unbound, no probe"
	unboundProbe = "macpool, unbound"
	hostLocal    = "host-local"
	hostLocalTwo = "host-local + skel-only"
	static       = "static"
)

func (w *world) kinds(ctx context.Context) ([]kind, error) {
	probe, err := w.newTenancy(ctx, "probe", 50, v1alpha1.ConflictProbe)
	if err != nil {
		return nil, err
	}
	off, err := w.newTenancy(ctx, "off", 51, v1alpha1.ConflictOff)
	if err != nil {
		return nil, err
	}
	return []kind{
		{name: prebound, prepare: probe.prebind(true), finish: probe.finish},
		{name: hostLocal, prepare: w.plain("host-local", func(int) string { return w.hostLocal(52) })},
		{name: hostLocalTwo, prepare: w.plain("host-local-two", func(int) string { return w.hostLocal(53) }, `{"type": "skelonly"}`)},
		{name: preboundOff, prepare: off.prebind(false), finish: off.finish},
		{name: static, prepare: w.plain("static", staticAddress)},
		{name: unboundOff, prepare: off.unbound, finish: off.finishUnbound},
		{name: unboundProbe, prepare: probe.unbound, finish: probe.finishUnbound, crowdOnly: true},
	}, nil
}

// hostLocal is an ipam block of host-local, which keeps its files on the disk as it does on a node.
func (w *world) hostLocal(second int) string {
	return fmt.Sprintf(`{"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": "10.%d.0.0/16", "rangeStart": "10.%d.0.10", "rangeEnd": "10.%d.31.255"}]]}`,
		filepath.Join(w.Disk, "networks"), second, second, second)
}

// staticAddress is an ipam block of static: each pod has a network of its own.
func staticAddress(i int) string {
	return fmt.Sprintf(`{"type": "static", "addresses": [{"address": "10.54.%d.%d/16"}]}`, i/200, 10+i%200)
}

// plain makes jobs for pods of which no API server knows, on macvlan with an ipam block, and further plugins after it.
func (w *world) plain(name string, ipam func(i int) string, further ...string) func(context.Context, int) ([]job, error) {
	return func(_ context.Context, count int) ([]job, error) {
		jobs := make([]job, count)
		for i := range jobs {
			macvlan := fmt.Sprintf(`{"type": "macvlan", "master": "eth0.%d", "mode": "bridge", "ipam": %s}`, vlan, ipam(i))
			plugins := strings.Join(append([]string{macvlan}, further...), ",\n")
			config := fmt.Sprintf(`{"cniVersion": "1.1.0", "name": %q, "plugins": [%s]}`, name, plugins)
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: fmt.Sprintf("pod-%d", i), UID: types.UID(fmt.Sprintf("%s-%d", name, i))}}
			jobs[i] = job{pod, lab.Network{Name: name + "/net", Config: config, Interface: "net1"}}
		}
		return jobs, nil
	}
}

func (t *tenancy) jobs(pods []*corev1.Pod) []job {
	jobs := make([]job, len(pods))
	for i, pod := range pods {
		jobs[i] = job{pod, t.net}
	}
	return jobs
}

// prebind makes pods whose claims the manager has bound, and if the pool wants it so the agent has asked the VLAN for their addresses: what
// happens while a runtime pulls the image and makes the sandbox.
func (t *tenancy) prebind(probed bool) func(context.Context, int) ([]job, error) {
	return func(ctx context.Context, count int) ([]job, error) {
		before, err := t.world.scrape(ctx)
		if err != nil {
			return nil, err
		}
		pods, err := t.pods(ctx, count)
		if err != nil {
			return nil, err
		}
		if err := t.bound(ctx, pods); err != nil || !probed {
			return t.jobs(pods), err
		}
		return t.jobs(pods), await(ctx, "the VLAN's silence", func(ctx context.Context) error {
			now, err := t.world.scrape(ctx)
			if n := now[probesSilent] - before[probesSilent]; err == nil && int(n) < count {
				err = fmt.Errorf("%.0f of %d addresses were asked for", n, count)
			}
			return err
		})
	}
}

func (t *tenancy) finish(ctx context.Context, jobs []job) error {
	if err := t.world.settled(ctx); err != nil {
		return err
	}
	pods := make([]*corev1.Pod, len(jobs))
	for i := range jobs {
		pods[i] = jobs[i].pod
	}
	return t.forget(ctx, pods)
}

// unbound makes pods while the manager stands still. An agent leaves young pods to the manager for a moment: these are older.
func (t *tenancy) unbound(ctx context.Context, count int) ([]job, error) {
	t.world.lab.Manager.Pause()
	pods, err := t.pods(ctx, count)
	if err != nil {
		return nil, err
	}
	return t.jobs(pods), rig.Pause(ctx, 2500*time.Millisecond)
}

func (t *tenancy) finishUnbound(ctx context.Context, jobs []job) error {
	err := t.world.settled(ctx)
	t.world.lab.Manager.Resume()
	if err != nil {
		return err
	}
	return t.finish(ctx, jobs)
}
