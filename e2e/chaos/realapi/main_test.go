// SPDX-License-Identifier: Apache-2.0

//go:build chaos

// Package realapi_test breaks a cluster in every way that the fault matrix knows, while pods come and go: real etcd and
// kube-apiserver, macpool's own processes, and a fault proxy between each of them and the API server. The test plays kubelets and
// container runtimes, and speaks to the agents as the plugin does.
//
// One seed decides what is done and when; what comes of it depends on the machine as well, so a seed repeats a run's faults, not its
// every interleaving.
package realapi_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/macpool/macpool/e2e/lab"
)

var (
	seedFlag     = flag.Uint64("seed", 1, "what is done, and when")
	durationFlag = flag.Duration("duration", 2*time.Minute, "how long things are done to the cluster, without the quiesce")
	rateFlag     = flag.Int("rate", 60, "steps of pods in a second, at most")
	nodesFlag    = flag.Int("nodes", 4, "nodes")
	faultsFlag   = flag.Int("faults", 20, "of how many requests in a thousand something happens to")
	crashesFlag  = flag.Int("plane-crashes", 8, "how often in a pass etcd or the API server is struck at a crash point")
	gapFlag      = flag.Duration("gap", 0, "how long nothing new is done between two episodes")
	completeFlag = flag.Duration("complete", 0, "for how long things are done again that may touch cells of the matrix which the first pass has left out")
	lanesFlag    = flag.Int("lanes", 2, "how many episodes go on at a time")
	setsFlag     = flag.Int("sets", 12, "StatefulSets, of 16 pods each")
	bareFlag     = flag.Int("bare", 60, "bare pods at a time")
	againFlag    = flag.Int("again", 1, "how often a sandbox that dies is made again, in the mean")
	scaleFlag    = flag.Float64("scale", 60, "by what the times of the outages are divided; 0 for none")
	graceFlag    = flag.Duration("grace", 30*time.Second, "how long a recovery waits for nodes that the API has forgotten")
	restoresFlag = flag.Int("restores", 5, "how often TestRestores goes back in time")
	verboseFlag  = flag.Bool("episodes", false, "say what is being done")
	calmFlag     = flag.Bool("calm", false, "no faults")
)

var (
	isolation *lab.Isolation
	options   lab.Options
)

func TestMain(m *testing.M) {
	isolation = lab.Isolate(context.Background())
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	var err error
	if options, err = lab.OptionsFromEnv(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run()) // and everything ends with it
}

// TestChaos does everything to a cluster, and judges it: outages first, then all episodes of the fault matrix and all crash points
// while pods come and go, as long as the time lasts and at least once: F1…F12, F14…F28, F35…F37, F39 and F40, with R-K4 and
// R-K5 among what is shown. The report counts them by moment.
func TestChaos(t *testing.T) {
	w := newWorld(t, *seedFlag, worldOptions{nodes: *nodesFlag, farNodes: 2, managers: 1})
	defer w.end()
	w.calm = *calmFlag
	w.populate()
	go w.progress(10 * time.Second)
	if *scaleFlag > 0 && !w.calm {
		w.outages(*scaleFlag)
	}
	var running sync.WaitGroup
	w.churn(&running, w.slots, *rateFlag)
	until := w.clock.Now().Add(*durationFlag)
	if w.calm {
		w.pause(*durationFlag)
	} else {
		running.Go(w.farAway)
		w.pause(3 * time.Second)
		w.plan.perMille.Store(int64(*faultsFlag))
		w.strike(w.rng("episodes"), until, *crashesFlag)
	}
	w.settled(&running)
	w.logf("refusals: %v", w.codes)
	for code, text := range w.samples {
		w.logf("  %s: %s", code, text)
	}
	w.finish(fmt.Sprintf("realapi-%d", w.seed), fmt.Sprintf("make soak SEED=%d DURATION=%s", w.seed, *durationFlag))
}

// replicas are the ordinals of a StatefulSet that get pods in the main pool.
const replicas = 16

// populate makes the StatefulSets and the slots.
func (w *world) populate() {
	for i := range *setsFlag {
		name := fmt.Sprintf("set%d", i)
		set := &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: loadNamespace, Name: name},
			Spec: appsv1.StatefulSetSpec{
				ServiceName: name, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
					Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
				},
			},
		}
		if !w.must("creating a StatefulSet", func() error { return w.admin.Create(w.ctx, set) }) {
			return
		}
		for ordinal := range replicas {
			w.slots = append(w.slots, w.newSlot(loadNamespace, "main", name, set, ordinal))
		}
	}
	for i := range *bareFlag {
		w.slots = append(w.slots, w.newSlot(loadNamespace, "main", fmt.Sprintf("bare%d", i), nil, 0))
	}
}

// churn lets slots step, rate times in a second together, until they are to be still or it is stopped.
func (w *world) churn(running *sync.WaitGroup, slots []*slot, rate int) (stop func()) {
	pace := make(chan struct{}, rate)
	ended := make(chan struct{})
	stopped := make(chan struct{})
	w.background.Go(func() {
		defer close(ended)
		tick := w.clock.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for !w.quiet.Load() {
			select {
			case <-tick.C():
			case <-stopped:
				return
			case <-w.ctx.Done():
				return
			}
			select {
			case pace <- struct{}{}:
			default:
			}
		}
	})
	for _, s := range slots {
		running.Go(func() { s.run(pace, ended) })
	}
	return sync.OnceFunc(func() { close(stopped) })
}
