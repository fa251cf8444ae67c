// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/chaos/faultproxy"
	"github.com/macpool/macpool/e2e/chaos/oracle"
	"github.com/macpool/macpool/internal/agentapi"
)

// slot is the place of one pod: an ordinal of a StatefulSet, or a bare pod with a new name each time. One goroutine does
// to it what its controller, its kubelet and its container runtime would, one thing after the other.
type slot struct {
	w    *world
	rng  *rand.Rand
	ns   string
	pool string
	set  *appsv1.StatefulSet // nil: bare pods
	base string
	n    int // ordinal, or how many pods there were

	pod     *corev1.Pod
	made    time.Time // when the pod was
	since   time.Time // when it was attached last
	only    *node     // the node on which it must run; nil: any
	node    *node
	box     *sandbox
	lease   *agentapi.Lease
	address string // of the lease
	claimed string // UID of the pod that was attached last, and its lease

	traceMu sync.Mutex
	trace   []string // what was done to it last

	doing atomic.Value // string: for whoever wonders why nothing happens

	// late is what is done beside: DELs that come late.
	late sync.WaitGroup
}

func (w *world) newSlot(ns, pool, base string, set *appsv1.StatefulSet, ordinal int) *slot {
	return &slot{w: w, rng: w.rng(fmt.Sprint(ns, base, ordinal)), ns: ns, pool: pool, set: set, base: base, n: ordinal}
}

func (s *slot) name() string { return s.base + "-" + strconv.Itoa(s.n) }

// identity is the name of the claim: what keeps the address.
func (s *slot) identity() string { return s.ns + "/" + s.name() + "." + s.pool + "." + iface }

func (s *slot) chance(percent int) bool { return s.rng.IntN(100) < percent }

func (s *slot) someTime(upTo time.Duration) time.Duration {
	return time.Duration(s.rng.Int64N(int64(upTo)))
}

// tell keeps what was done, for whoever must find out why it went wrong.
func (s *slot) tell(format string, args ...any) {
	s.traceMu.Lock()
	defer s.traceMu.Unlock()
	s.trace = append(s.trace, s.w.clock.Now().Format("15:04:05.000000 ")+fmt.Sprintf(format, args...))
	if len(s.trace) > 60 {
		s.trace = append(s.trace[:0:0], s.trace[len(s.trace)-40:]...)
	}
}

// story is that, and what the API's log has of the claim.
func (s *slot) story() string {
	s.traceMu.Lock()
	defer s.traceMu.Unlock()
	return "\n    done:\n\t" + strings.Join(s.trace, "\n\t") + "\n    log:\n\t" + strings.Join(s.w.ledger.Story(s.identity()), "\n\t")
}

// step does one thing.
func (s *slot) step() {
	switch {
	case s.pod == nil:
		s.create()
		s.attach(&s.w.count.fresh)
	case s.box == nil:
		s.attach(&s.w.count.again)
	case s.isDead():
		// The node lost its power: what was there is gone, and is told of or not.
		s.afterReboot()
	default:
		s.live()
	}
}

// live is what happens to a pod that runs.
func (s *slot) live() {
	switch p := s.rng.IntN(100); {
	case p < 5:
		s.check()
	case p < 6:
		s.deleteClaim()
	case s.set != nil && p < 22, s.set == nil && p < 30:
		s.replace()
	case p < 70:
		for range 1 + s.rng.IntN(2**againFlag-1) {
			if s.sandboxAgain(true); s.box == nil || s.w.hurry.Load() || s.w.quiet.Load() {
				break
			}
		}
	default:
		s.sandboxAgain(false)
	}
}

func (s *slot) isDead() bool { return s.box.isDead() }

// deleteClaim is somebody who deletes the claim of a pod that runs: the policy refuses (F36, R-P4).
func (s *slot) deleteClaim() {
	namespace, name, _ := strings.Cut(s.identity(), "/")
	claim := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	live := claim.DeepCopy()
	if s.w.admin.Get(s.w.ctx, client.ObjectKeyFromObject(claim), live) != nil || live.Status.Holder == nil {
		return
	}
	err := s.w.admin.Delete(s.w.ctx, claim)
	switch {
	case err == nil && !s.isDead():
		s.w.violation(oracle.Violation{Kind: oracle.FalseRelease, Text: "claim " + s.identity() + " was deleted while a pod held it"})
	case apierrors.IsForbidden(err):
		s.w.inject("F36", "policy refuses to delete a claim in use", "m8-m9")
	}
}

// check is CHECK: it must be true while nothing is in the way.
func (s *slot) check() {
	asked, hangUp := s.w.clock.Now(), time.Duration(0)
	if !s.w.still() && s.chance(20) { // the plugin is killed; the pod runs on
		hangUp = 1 + s.someTime(5*time.Millisecond)
		s.w.inject("F1", "plugin SIGKILL", "m5-m6")
	}
	lease, err := answerOf(s.node.ask(s.box.request(agentapi.Check, s.pod, s.pool), agentapi.CheckTimeout, hangUp))
	if err != nil {
		s.w.note(err)
		return
	}
	s.w.count.checks.Add(1)
	if lease != nil {
		s.w.history.Lookup(lease.Name, s.identity(), asked, s.w.clock.Now())
	}
}

func (s *slot) identityOf(pod *corev1.Pod) string {
	return pod.Namespace + "/" + pod.Name + "." + s.pool + "." + iface
}

// run steps as often as the pace allows, until the slots are to be still.
func (s *slot) run(pace, stop <-chan struct{}) {
	for {
		select {
		case <-pace:
		case <-stop:
			return
		}
		if s.w.quiet.Load() {
			return
		}
		s.w.back.RLock()
		s.step()
		s.w.back.RUnlock()
		s.doing.Store("waiting for its turn")
	}
}

// settle brings the pod to rest: attached, or gone.
func (s *slot) settle() {
	s.late.Wait()
	if s.pod == nil {
		return
	}
	if s.box != nil && s.isDead() {
		s.afterReboot()
	}
	for s.box == nil && s.w.ctx.Err() == nil && s.w.clock.Now().Before(s.w.settleBy) {
		s.attach(&s.w.count.again)
	}
	if s.box == nil {
		s.w.stuck(s)
	}
}

// about tells the requests that are about a pod, its claim or its lease.
func about(pod *corev1.Pod) func(*faultproxy.Request) bool {
	if pod == nil {
		return func(*faultproxy.Request) bool { return false }
	}
	key := pod.Namespace + "/" + pod.Name
	return func(r *faultproxy.Request) bool { return podOf(r) == key }
}

// lasting is a condition for a while.
func (w *world) lasting(d time.Duration, row, class string, match func(*faultproxy.Request) bool) {
	end := w.plan.during(row, class, match)
	w.background.Go(func() {
		w.pause(d)
		end()
	})
}

// still tells whether nothing is to go wrong now.
func (w *world) still() bool { return w.calm || w.quiet.Load() }

// note counts the codes of errors that callers saw.
func (w *world) note(err error) {
	code := "no answer"
	var answer *answerError
	if errors.As(err, &answer) {
		code, _, _ = strings.Cut(answer.Code, " ")
	} else if errors.Is(err, errHungUp) {
		code = "hung up"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.codes == nil {
		w.codes = map[string]int{}
	}
	w.codes[code]++
	if w.samples == nil {
		w.samples = map[string]string{}
	}
	w.samples[code] = err.Error()
}
