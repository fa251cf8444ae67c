// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/memapi"
	"github.com/macpool/macpool/internal/protocoltest/dice"
)

// world is everything there is in one run: the API and the network to it, managers, nodes with their agents and runtimes, and the
// truth about interfaces. One goroutine drives it; all others are waiting whenever that one looks.
type world struct {
	t     *rapid.T
	dir   string
	stats *stats
	// rng decides what the drawn actions leave open, such as which of two messages arrives first. It is seeded by a draw.
	rng *rand.Rand

	server *memapi.Server
	// admin is everybody who is not macpool: people, scheduler, kubelets, controllers of Kubernetes.
	admin *memapi.Client
	net   *network
	// rules are the faults that are being injected, shuffled that messages overtake each other.
	rules    []*rule
	shuffled bool

	managers []*manager
	nodes    []*node
	calls    []*call
	pools    map[string]*poolModel
	truth    *truth
	settings settings
	// withdrawn are the kinds that the API does not serve.
	withdrawn []string
	// restored: the API has gone back in time, and what it says is not to be relied on yet.
	restored bool
	verbose  bool
	// trace, if set, gets what is logged, with the time.
	trace io.Writer

	// turns counts the times that the driver had its turn.
	turns      uint64
	names      int
	violations []string
}

// newWorld makes a world of some nodes, with one manager that runs.
func newWorld(t *rapid.T, s *stats, dir string) *world {
	var err error
	w := &world{t: t, dir: dir, stats: s, net: newNetwork(), rng: rand.New(rand.NewPCG(0, 0)), pools: map[string]*poolModel{}}
	if w.server, err = memapi.NewServer(clock.RealClock{}, memapi.Scheme(), memapi.Kinds()); err != nil {
		t.Fatal(err)
	}
	w.server.Enforce(memapi.ClaimInUse)
	w.admin = w.server.Client("admin", nil)
	w.truth = newTruth(w)
	w.server.Watch(w.truth.observe)
	return w
}

// scratch is where the journals are: in memory if there is such a file system.
func scratch() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// close ends all processes, and wants them to leave no goroutine.
func (w *world) close() {
	for _, m := range w.managers {
		m.kill()
	}
	for _, n := range w.nodes {
		n.killAgent()
	}
	for _, c := range w.calls {
		c.hangUp()
	}
	w.net.letGo()
	time.Sleep(time.Hour)
	if left := leftInBubble(); left != "" {
		w.t.Errorf("an hour after their end the processes have goroutines:\n%s", left)
	}
}

// leftInBubble are the stacks of the other goroutines of this bubble, which synctest counts and does not name.
func leftInBubble() string {
	stacks := make([]byte, 16<<20)
	var left []string
	for i, stack := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		head, _, _ := strings.Cut(stack, "\n")
		if isOwn := i == 0 || strings.Contains(stack, "testing/synctest.Test"); !isOwn && strings.Contains(head, "synctest bubble") {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}

// must is for what cannot fail.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("the harness failed: %v", err)
	}
}

// logf writes down what happens, for whoever reads of a failure.
func (w *world) logf(format string, args ...any) {
	w.t.Logf(format, args...)
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%s "+format+"\n", append([]any{time.Now().Format("15:04:05.000")}, args...)...)
	}
}

// violate notes that the protocol broke a promise. It is raised when nobody holds a lock.
func (w *world) violate(invariant, format string, args ...any) {
	text := invariant + ": " + fmt.Sprintf(format, args...)
	w.stats.violated(invariant, text)
	w.violations = append(w.violations, text)
}

func (w *world) raise() {
	w.t.Helper()
	if len(w.violations) > 0 {
		w.t.Fatalf("%s", w.violations[0])
	}
}

func (w *world) name(prefix string) string {
	w.names++
	return fmt.Sprintf("%s%d", prefix, w.names)
}

// maxRounds bounds how much may happen without time passing: more is a process that goes round in circles.
const maxRounds = 4_000

// settle lets everything happen that can, without time passing.
func (w *world) settle() {
	w.t.Helper()
	for range maxRounds {
		w.turns++
		dice.Load(w.turns)
		synctest.Wait()
		w.collect()
		w.restartFailed()
		w.raise()
		if w.follow() {
			continue
		}
		waiting := w.net.waiting()
		if len(waiting) == 0 {
			return
		}
		next := waiting[0]
		if w.shuffled {
			next = waiting[w.rng.IntN(len(waiting))]
		}
		w.deliver(next)
	}
	w.t.Fatalf("livelock: after %d messages there are still %d, the first is %s of %s",
		maxRounds, len(w.net.waiting()), w.net.waiting()[0].text, w.net.waiting()[0].from.name)
}

// pass lets time pass, and everything happen meanwhile.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	end := time.Now().Add(d)
	for {
		w.settle()
		w.watchNodes()
		next := w.tearDownLinks()
		left := time.Until(end)
		if left <= 0 {
			w.truth.checkFences()
			return
		}
		w.turns++
		dice.Load(w.turns)
		timer := time.NewTimer(min(left, next))
		select {
		case <-w.net.arrived:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// follow shows the caches what is new, as far as they may see it, and tells whether one has changed.
func (w *world) follow() bool {
	changed := false
	for _, m := range w.managers {
		changed = m.view.follow() || changed
	}
	for _, n := range w.nodes {
		if n.agent != nil {
			changed = n.agent.view.follow() || changed
		}
	}
	return changed
}

// object makes the metadata of an object.
func object(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

// all are the objects of a type, for reading only.
func all[T client.Object](w *world, kind string) []T {
	objects := w.server.Objects(kind)
	typed := make([]T, 0, len(objects))
	for _, o := range objects {
		if t, ok := o.(T); ok {
			typed = append(typed, t)
		}
	}
	return typed
}

func (w *world) pods() []*corev1.Pod { return all[*corev1.Pod](w, "Pod") }

// pick draws one of several, which there must be.
func pick[T any](t *rapid.T, label string, from []T) T {
	return from[rapid.IntRange(0, len(from)-1).Draw(t, label)]
}

func TestMain(m *testing.M) { os.Exit(run(m)) }
