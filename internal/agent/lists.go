// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/timeline"
)

// apartFor is for how long no revision of a pod is asked for after one was not reached.
const apartFor = time.Minute

// lists are live lists for an ADD that need not show more than what there was when its pod was written. For a list of what there is now the API
// server waits until its own cache is known to have caught up: up to a tenth of a second where little is written. One that is to be no older than a
// revision which that cache has passed is answered at once.
//
// The resourceVersions of pods and of macpool's objects are revisions of one etcd. Should pods have one of their own, the API server answers after three
// seconds that it has not reached the revision, and what there is now is listed. Or it has passed it long since: then the list is as old as the API server's
// cache, a moment, and what an identity has left behind in that moment is missed; no address is given out twice by that. Safe for concurrent use.
type lists struct {
	client client.Reader
	clock  clock.PassiveClock

	mu    sync.Mutex
	apart time.Time // when a revision was not reached
}

// since lists what there was at a revision or later, 0 for what there is now. current: it is what there is now.
func (l *lists) since(ctx context.Context, revision uint64, list client.ObjectList, options ...client.ListOption) (current bool, err error) {
	l.mu.Lock()
	apart := !l.apart.IsZero() && timeline.Elapsed(l.clock.Now(), l.apart) < apartFor
	l.mu.Unlock()
	if revision == 0 || apart {
		return true, l.client.List(ctx, list, options...)
	}
	notOlder := &client.ListOptions{Raw: &metav1.ListOptions{
		ResourceVersion: strconv.FormatUint(revision, 10), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	}}
	err = l.client.List(ctx, list, append([]client.ListOption{notOlder}, options...)...)
	if !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		return false, err
	}
	l.mu.Lock()
	l.apart = l.clock.Now()
	l.mu.Unlock()
	return true, l.client.List(ctx, list, options...)
}

// revisionOf is the revision at which an object was written; 0 if it does not say.
func revisionOf(resourceVersion string) uint64 {
	revision, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil {
		return 0
	}
	return revision
}

// unwritten is the revision of a pod that does not say when it was written: a list that is not current does not answer for it.
const unwritten = math.MaxUint64

// podSet are the UIDs of pods -> the revisions at which they were written.
type podSet map[types.UID]uint64

// reach is for which pods a list answers: those that were known before it began, and written before what it shows.
type reach struct {
	pods podSet
	// current: the list shows what there was when it began, else what there was at the revision.
	current  bool
	revision uint64
}

// latest is the revision that a list has to show to answer for all pods, and for one that was written at least so late.
func (s podSet) latest(atLeast uint64) uint64 {
	for _, written := range s {
		if written != unwritten {
			atLeast = max(atLeast, written)
		}
	}
	return atLeast
}

func (r *reach) has(pod types.UID) bool {
	written, known := r.pods[pod]
	return known && (r.current || written <= r.revision)
}

// knownPods are the pods of this node that the cache has, by the UIDs that the runtime has for them.
func (a *Agent) knownPods(ctx context.Context) podSet {
	var list corev1.PodList
	if a.cluster.cache.List(ctx, &list, client.UnsafeDisableDeepCopy) != nil {
		return nil
	}
	known := make(podSet, len(list.Items))
	for i := range list.Items {
		pod := &list.Items[i]
		written := revisionOf(pod.ResourceVersion)
		if written == 0 {
			written = unwritten
		}
		known[binding.PodUID(pod)] = written
	}
	return known
}
