// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/timeline"
)

// recovery finds out whether the API has gone back in time, and keeps this node from attaching anything by what such an API
// says (R-B1). It compares the API with the mark and the journal on this node's disk: at the start, whenever the API was
// away, and with each report. docs/design/0008 has the reasons.
type recovery struct {
	*Agent

	// gate has the word of the other nodes.
	gate  *timeline.Gate
	marks *marks

	busy chan struct{} // capacity 1: held while the API is compared

	total atomic.Int64 // how often the API was found to have gone back

	mu sync.Mutex
	// next is the look that waits for the one under way.
	next *look
	// good is the last look that found nothing.
	good goodLook
	// compared is the silence after which the API was last found to know what this node knows.
	compared int
	// why says by what the API was found to have gone back, until the node has reported what is attached on it.
	why string
	// trusted: the start's doubt was settled by this node's own mark.
	trusted bool
}

// agentsCrowd is timeline.Times' Crowd of agents: with up to 353 nodes each looks four times a second, with 1,000 every 2 s, with 5,000 every 50 s.
// That is 500,000 MacNodes a second that the API servers have to send, however many nodes there are; each takes them 16 us (docs/scale.md).
const agentsCrowd = 2 * time.Microsecond

func newRecovery(a *Agent, times timeline.Times) *recovery {
	times.Crowd = cmp.Or(times.Crowd, agentsCrowd)
	return &recovery{Agent: a, gate: timeline.New(a.cluster, a.clock, times), busy: make(chan struct{}, 1)}
}

// away closes the gate: the API server was lost, or has come back as who knows which.
func (r *recovery) away() { r.gate.Doubt() }

// back has everything compared again: the API server has come back.
func (r *recovery) back() { r.contact.back() }

// look compares the API with what this node knows. why is empty unless it has gone back. node is this node's MacNode, nil if there is
// none. Everybody who asks while one look is under way shares the next: what that reads is newer than their questions, and a storm of
// ADDs does not wait in line.
func (r *recovery) look(ctx context.Context) (node *v1alpha1.MacNode, why string, err error) {
	r.mu.Lock()
	l := r.next
	if l == nil {
		l = &look{done: make(chan struct{})}
		r.next = l
		go r.runLook(context.WithoutCancel(ctx), l) // whoever asked first may hang up
	}
	r.mu.Unlock()
	select {
	case <-l.done:
		return l.node.DeepCopy(), l.why, l.err
	case <-ctx.Done():
		return nil, "", context.Cause(ctx)
	}
}

// look is one comparison, for all who have asked for it before it began.
type look struct {
	done chan struct{} // closed when the rest is there
	node *v1alpha1.MacNode
	why  string
	err  error
}

// runLook does a look when the one before has ended.
func (r *recovery) runLook(ctx context.Context, l *look) {
	r.busy <- struct{}{}
	defer func() { <-r.busy }()
	r.mu.Lock()
	r.next = nil // who asks from here on needs one that begins later
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, clearTimeout)
	defer cancel()
	l.node, l.why, l.err = r.lookNow(ctx)
	close(l.done)
}

func (r *recovery) lookNow(ctx context.Context) (node *v1alpha1.MacNode, why string, err error) {
	began, silence := r.clock.Now(), r.contact.silence()
	if why = r.found(); why != "" {
		node, err = r.own(ctx)
		return node, why, err
	}
	// The mark first: the reporter raises it after the API has taken the report.
	known, ok := r.marks.get()
	if node, err = r.own(ctx); err != nil {
		return nil, "", err
	}
	if why, err = r.compare(ctx, node, known, ok, silence); err != nil {
		return nil, "", err
	}
	if why != "" {
		r.wentBack(why)
		return node, why, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.good = goodLook{began: began, silence: silence}
	return node, "", nil
}

// goodLook is a look by which the API knows what this node knows.
type goodLook struct {
	began   time.Time
	silence int
}

// lookFresh is how long a good look answers for the next: less than it takes to stop an API server, to put its data back
// and to start it, of which the contact hears besides.
const lookFresh = 500 * time.Millisecond

// recheck has the next look compare what the journal knows once more: the API seems to have forgotten something of it.
func (r *recovery) recheck() {
	r.mu.Lock()
	r.compared, r.good = 0, goodLook{}
	r.mu.Unlock()
	r.reporter.kick()
}

// isFresh tells whether a good look has just been done, and the API server has not been away since.
func (r *recovery) isFresh() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.why == "" && r.good.silence == r.contact.silence() && !r.good.began.IsZero() &&
		timeline.Elapsed(r.clock.Now(), r.good.began) < lookFresh
}

// own reads this node's MacNode; nil if there is none.
func (r *recovery) own(ctx context.Context) (*v1alpha1.MacNode, error) {
	node := &v1alpha1.MacNode{}
	err := r.cluster.Get(ctx, types.NamespacedName{Name: r.nodeName}, node)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the MacNode of this node: %w", err)
	}
	return node, nil
}

// compare tells by what the API is behind this node, if it is. What the journal knows is compared once after each silence.
func (r *recovery) compare(ctx context.Context, node *v1alpha1.MacNode, known mark, ok bool, silence int) (string, error) {
	if ok {
		switch {
		case node != nil && node.Status.Epoch < known.Epoch:
			return fmt.Sprintf("it has report %d of node %s, which has written report %d", node.Status.Epoch, r.nodeName, known.Epoch), nil
		case node == nil:
			// It goes with its Node, which does not mean that the API has gone back.
			same, err := r.isSameNode(ctx, known.NodeUID)
			if err != nil {
				return "", err
			}
			if same {
				return fmt.Sprintf("it has no report of node %s, which has written report %d", r.nodeName, known.Epoch), nil
			}
		}
	}
	r.mu.Lock()
	done := r.compared >= silence
	r.mu.Unlock()
	if done {
		return "", nil
	}
	why, err := r.ahead(ctx, known.Timeline)
	if err != nil || why != "" {
		return why, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.compared = max(r.compared, silence)
	return "", nil
}

// isSameNode tells whether the Node is the one that it was.
func (r *recovery) isSameNode(ctx context.Context, uid types.UID) (bool, error) {
	node := &metav1.PartialObjectMetadata{}
	node.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Node"))
	err := r.cluster.Get(ctx, types.NamespacedName{Name: r.nodeName}, node)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the own Node: %w", err)
	}
	return uid == "" || uid == node.UID, nil
}

// found is by what the API was found to have gone back, empty if it was not, or this node has reported since.
func (r *recovery) found() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.why
}

// wentBack stops what this node does by the API's word: an ADD that is under way undoes itself, no cache is believed, and the
// caches are made anew.
func (r *recovery) wentBack(why string) {
	r.mu.Lock()
	r.why = why
	r.mu.Unlock()
	r.total.Add(1)
	r.log.Info("The API server has gone back in time; what is attached here is being reported", "why", why)
	r.back()
	r.cluster.cache.renew()
}

// reported notes that the API has this node's report, which was begun in this silence and this doubt, on its timeline.
func (r *recovery) reported(ctx context.Context, silence int, doubt uint64, hadMark bool) {
	r.mu.Lock()
	// A node with a mark need not wait for the others when it starts: it would know.
	first := hadMark && !r.trusted && r.why == ""
	r.trusted = true
	r.why = ""
	r.compared = max(r.compared, silence)
	r.mu.Unlock()
	if first {
		if err := r.gate.Trust(ctx, doubt); err != nil {
			r.log.V(1).Info("The gate was not opened", "error", err.Error())
		}
	}
}

// mayGive tells whether the API may be believed about addresses of the pool: nil if so, else AllocationPaused, a
// timeline.Unsettled, or what the API answered. It is the binder's gate.
func (r *recovery) mayGive(ctx context.Context, pool string) error {
	if r.isFresh() { // a bind tries one address after another in a pool that is nearly full
		return r.gate.Check(ctx, pool)
	}
	_, why, err := r.look(ctx)
	if err != nil {
		return err
	}
	if why != "" {
		return problem.AllocationPaused.New(pool, "the API server has gone back in time: "+why)
	}
	return r.gate.Check(ctx, pool)
}

// isClosed tells whether the API is known, or suspected, to be behind. If it does not answer, nobody can tell: not closed.
func (r *recovery) isClosed(ctx context.Context, pool string) bool {
	err := r.mayGive(ctx, pool)
	return problem.AllocationPaused.Is(err) || isUnsettled(err)
}

func isUnsettled(err error) bool {
	var u *timeline.Unsettled
	return errors.As(err, &u)
}

// settled tells whether the caches may be believed as far as the API's going back goes. As long as this node has something to report the gate is not
// asked: to it a node that reports nothing is away, this one, too, and the others are still on the timeline before.
func (r *recovery) settled(ctx context.Context) error {
	_, why, err := r.look(ctx)
	if err != nil {
		return err
	}
	if why != "" {
		return &timeline.Unsettled{Waiting: []string{r.nodeName}}
	}
	return r.gate.Settle(ctx)
}

// timeline is the one on which this node has reported last.
func (r *recovery) timeline() int64 {
	known, _ := r.marks.get()
	return known.Timeline
}

// goesOn tells whether a pool, as the caches have it, gives addresses out on this node's timeline.
func (r *recovery) goesOn(pool *v1alpha1.MacPool) bool {
	known, ok := r.marks.get()
	return ok && r.found() == "" && pool.Status.Timeline == known.Timeline &&
		!apimeta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.PoolAllocationPaused)
}

// current tells whether the API knows all that this node has told it, and no recovery is under way. What it says about who
// has an address was true then. It does not wait for the other nodes: an interface whose address has moved on must go within
// seconds (R-G7), and whatever an older state has against it stays true.
func (r *recovery) current(ctx context.Context, name string) (bool, error) {
	_, why, err := r.look(ctx)
	if err != nil || why != "" {
		return false, err
	}
	pool := &v1alpha1.MacPool{}
	err = r.cluster.Get(ctx, types.NamespacedName{Name: name}, pool)
	if apierrors.IsNotFound(err) {
		// Deleted, if the API never went back. Else it may have forgotten the pool, of which nothing is recovered before it is there.
		return r.timeline() == 0, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading pool %s: %w", name, err)
	}
	return r.goesOn(pool), nil
}
