// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/chaos/report"
)

var (
	seed  = flag.Uint64("seed", 1, "the seed of the first drill of TestDrills; the next has the next one")
	count = flag.Int("drills", 0, "how many drills TestDrills does, one after the other in one cluster")
)

var (
	whole = size{before: 24, lost: 200, storm: 40}
	small = size{before: 12, lost: 30, storm: 16}
)

// TestRestoreOfEtcd proves R-B1 and F28: etcd is set back by two hundred allocations, releases and moves while pods run on. All at
// once pods are started by the hundred. No address is used twice, every running pod keeps its own, and allocation goes on.
func TestRestoreOfEtcd(t *testing.T) {
	w := newWorld(t, 4)
	d := newDrill(t, w, 1, whole)
	d.restore()
	d.close()
}

// TestDrills repeats small drills of all kinds. A soak asks for more of them, and a failure is replayed with its seed:
//
//	go test ./internal/drill/ -run TestDrills -drills 100 -seed 1
func TestDrills(t *testing.T) {
	if *count == 0 {
		t.Skip("for soaks: -drills 100")
	}
	w := newWorld(t, 3)
	start := time.Now()
	sum := report.Report{Harness: "drills", Seed: *seed, Replay: fmt.Sprintf("go test ./internal/drill/ -run TestDrills -drills %d -seed %d", *count, *seed)}
	for i := range *count {
		number := *seed + uint64(i)
		began := time.Now()
		if !t.Run(fmt.Sprintf("seed %d", number), func(t *testing.T) {
			w.t = t
			d := newDrill(t, w, number, small)
			kinds := []struct {
				id, class string
				do        func()
			}{
				{"F28", "etcd set back", d.restore},
				{"F28", "etcd set back", d.restore},
				{"F28", "etcd set back while a node is away", d.restoreWithoutNode},
				{"F27", "definitions deleted", d.definitionsDeleted},
			}
			kind := kinds[d.rng.IntN(len(kinds))]
			kind.do()
			d.close()
			sum.AddFault(kind.id, kind.class, "m5-m6", 1)
			if kind.id == "F28" {
				sum.Restores++
			}
			sum.Adds += int64(d.wire.adds)
			sum.Dels += int64(d.wire.dels)
			t.Logf("%d ADDs, refused while going back: %s", d.wire.adds, &d.refusals)
		}) {
			sum.Violations = append(sum.Violations, fmt.Sprintf("a drill failed; replay with -drills 1 -seed %d", number))
			writeReport(t, &sum, start)
			t.Fatalf("replay with -drills 1 -seed %d", number)
		}
		writeReport(t, &sum, start)
		t.Logf("drill %d of %d, seed %d: %s", i+1, *count, number, time.Since(began).Round(time.Second))
	}
}

// writeReport adds the drills up for the table of the chaos harnesses, if a directory for reports is named.
func writeReport(t *testing.T, sum *report.Report, start time.Time) {
	t.Helper()
	sum.Seconds = time.Since(start).Seconds()
	if err := sum.Write(os.Getenv(report.DirEnv), fmt.Sprintf("drills-%d", sum.Seed)); err != nil {
		t.Error(err)
	}
}

// TestDefinitionsDeleted proves F27: the definitions are deleted by mistake under running pods, and made again. What the nodes have
// attached comes back before anything is given out.
func TestDefinitionsDeleted(t *testing.T) {
	w := newWorld(t, 3)
	d := newDrill(t, w, 2, small)
	d.definitionsDeleted()
	d.close()
}

// TestRestoreWithoutANode proves that allocation stays paused for a node that does not answer, until it comes back or its Node is
// deleted (R-B1).
func TestRestoreWithoutANode(t *testing.T) {
	for name, back := range map[string]bool{"which comes back": true, "which is given up": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3)
			d := newDrill(t, w, 3, small)
			d.withoutNode(back)
			d.close()
		})
	}
}

// goBack sets etcd back to the snapshot, over what do does between the end of the old API server and the start of the new one.
// It returns what the API had forgotten that it had deleted.
func (d *drill) goBack(do func()) (resurrected []*pod) {
	d.t.Helper()
	d.beforeSnapshot()
	known := slices.Clone(d.pods)
	if d.rng.IntN(3) == 0 {
		// The agents have written since, or they have not.
		_ = sleep(d.t.Context(), time.Duration(d.rng.IntN(1500))*time.Millisecond)
	}
	d.w.plane.snapshot("snapshot")
	d.lostTime()
	d.w.plane.stop()
	d.w.plane.restore("snapshot")
	do()
	d.w.plane.start()
	for _, p := range known {
		if !slices.Contains(d.pods, p) {
			again := *p
			again.netns, again.id = "", ""
			resurrected = append(resurrected, &again)
		}
	}
	return resurrected
}

// restore is a restore of etcd under a storm.
func (d *drill) restore() {
	d.t.Helper()
	before := d.latest()
	resurrected := d.goBack(func() {
		switch d.rng.IntN(4) { // who else ends with the API server
		case 0:
			d.w.stopManager()
			d.w.startManager()
		case 1:
			n := d.anyNode()
			n.stop()
			n.start()
		}
	})
	wait := d.storm(resurrected)
	d.awaitRaised(before)
	d.awaitGoing()
	d.checkAttached("after the recovery")
	ended := d.endUnknown()
	wait()
	d.endUnknown()
	d.checkAttached("after the storm")
	d.t.Logf("%d ADDs; %d pods ended that the API had forgotten; refused meanwhile: %s", d.wire.adds, ended, &d.refusals)
}

// latest is the timeline.
func (d *drill) latest() int64 {
	d.t.Helper()
	var latest int64
	d.eventually("the MacNodes", func(ctx context.Context) error {
		var nodes v1alpha1.MacNodeList
		if err := d.w.List(ctx, &nodes); err != nil {
			return err
		}
		latest = 0
		for i := range nodes.Items {
			latest = max(latest, nodes.Items[i].Status.Timeline)
		}
		return nil
	})
	return latest
}

// awaitRaised waits until somebody has found that the API went back.
func (d *drill) awaitRaised(before int64) {
	d.t.Helper()
	d.eventually("a later timeline", func(context.Context) error {
		if now := d.latest(); now <= before { //nolint:contextcheck // latest has a patience of its own
			return fmt.Errorf("it is %d", now)
		}
		return nil
	})
}

func (d *drill) restoreWithoutNode() { d.withoutNode(d.rng.IntN(2) == 0) }

// withoutNode is a restore while a node is away.
func (d *drill) withoutNode(back bool) {
	d.t.Helper()
	before := d.latest()
	away := d.anyNode()
	resurrected := d.goBack(away.stop)
	if !back {
		d.switchOff(away)
		d.givenUp = away.name
	}
	for i, v := range slices.Backward(resurrected) {
		if v.node == away {
			resurrected = slices.Delete(resurrected, i, i+1)
		}
	}
	others := slices.DeleteFunc(slices.Clone(d.w.nodes), func(n *node) bool { return n == away })
	all := d.w.nodes
	d.w.nodes = others
	wait := d.storm(resurrected)
	d.w.nodes = all
	d.awaitRaised(before)
	d.eventually("the pools to wait for "+away.name, func(ctx context.Context) error {
		pauses, err := d.pauses(ctx)
		if err != nil || len(pauses) < 2 || !strings.Contains(pauses[d.wide], away.name) {
			return errors.Join(err, fmt.Errorf("paused: %v", pauses))
		}
		return nil
	})
	for until := time.Now().Add(grace + silence); time.Now().Before(until); {
		if pauses, err := d.pauses(d.t.Context()); err == nil && len(pauses) < 2 {
			d.t.Fatalf("allocation goes on without %s: %v", away.name, pauses)
		}
		_ = sleep(d.t.Context(), 200*time.Millisecond)
	}
	if back {
		away.start()
	} else {
		d.eventually("the Node to be deleted", func(ctx context.Context) error {
			return client.IgnoreNotFound(d.w.Delete(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: away.name}}))
		})
	}
	d.awaitUnpaused()
	if !back {
		d.reinstall(away)
	}
	d.awaitGoing()
	d.checkAttached("after the recovery")
	d.endUnknown()
	wait()
	d.endUnknown()
	d.checkAttached("after the storm")
}

// switchOff takes the power from a node: its interfaces are down.
func (d *drill) switchOff(n *node) {
	for _, i := range d.wire.interfaces() {
		if i.pod.node == n {
			d.wire.detach(i.pod.netns)
		}
	}
	d.pods = slices.DeleteFunc(d.pods, func(p *pod) bool { return p.node == n })
}

// reinstall brings a node back with an empty disk, and ends what the API still has of the pods of before.
func (d *drill) reinstall(n *node) {
	d.t.Helper()
	d.w.must(os.RemoveAll(n.state))
	d.w.ensureNode(n.name)
	n.start()
	d.eventually("the pods of "+n.name+" to be gone", func(ctx context.Context) error {
		var pods corev1.PodList
		if err := d.w.List(ctx, &pods, client.InNamespace(d.ns)); err != nil {
			return err
		}
		for i := range pods.Items {
			if pods.Items[i].Spec.NodeName == n.name && !d.isOurs(pods.Items[i].UID) {
				if err := d.w.Delete(ctx, &pods.Items[i], client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (d *drill) isOurs(uid types.UID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.pods, func(p *pod) bool { return p.uid == uid })
}

// awaitUnpaused waits until no pool is paused.
func (d *drill) awaitUnpaused() {
	d.t.Helper()
	d.eventually("allocation to go on", func(ctx context.Context) error {
		pauses, err := d.pauses(ctx)
		if err == nil && len(pauses) > 0 {
			err = fmt.Errorf("paused: %v", pauses)
		}
		return err
	})
}

// definitionsDeleted deletes all of macpool's definitions, and with them all its objects, and makes them again.
func (d *drill) definitionsDeleted() {
	d.t.Helper()
	before := d.latest()
	d.beforeSnapshot()
	options := &envtest.CRDInstallOptions{Paths: []string{filepath.Join(root, "config", "crd", "bases")}}
	d.w.must(envtest.ReadCRDFiles(options))
	crds := options.CRDs
	extensions, err := client.New(d.w.plane.config, client.Options{Scheme: crdScheme(d.t)})
	d.w.must(err)
	for _, crd := range crds {
		d.w.must(extensions.Delete(d.t.Context(), crd.DeepCopy()))
	}
	d.eventually("the definitions to be gone", func(ctx context.Context) error {
		for _, crd := range crds {
			if err := extensions.Get(ctx, client.ObjectKeyFromObject(crd), &apiextensionsv1.CustomResourceDefinition{}); !apierrors.IsNotFound(err) {
				return fmt.Errorf("%s: %w", crd.Name, err)
			}
		}
		return nil
	})
	_ = sleep(d.t.Context(), time.Duration(d.rng.IntN(3000))*time.Millisecond)
	for _, crd := range crds {
		d.w.must(extensions.Create(d.t.Context(), crd.DeepCopy()))
	}
	d.makePools()
	wait := d.storm(nil)
	d.awaitRaised(before)
	d.awaitGoing()
	d.checkAttached("after the recovery")
	wait()
	d.checkAttached("after the storm")
	d.t.Logf("%d ADDs; refused meanwhile: %s", d.wire.adds, &d.refusals)
}
