// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/mac"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/timeline"
)

const (
	// viewPage is how many leases one request lists.
	viewPage = 500
	// viewTimeout bounds the listing of a whole segment.
	viewTimeout = 10 * time.Second
)

// views are the agent's short-lived looks at segments, for binding by itself. An agent keeps no standing index of other
// nodes' leases; it lists a segment when it must choose an address, and lets creates decide. Safe for concurrent use.
type views struct {
	lists *lists
	// pods are the pods that the agent knows.
	pods  func(context.Context) podSet
	clock clock.PassiveClock
	times Times

	loading singleflight.Group

	mu      sync.Mutex
	current map[string]*view // segment -> its latest view
}

// view is a list of a segment's leases as an index.
type view struct {
	index *binding.Index
	made  time.Time
	// full: the leases were read whole. Otherwise only their names were, and each name counts as leased, even one whose
	// record is free to take.
	full bool
	// reach is for which pods it tells whether their identities have a lease, identities those that have one, by identityKey.
	reach      reach
	identities map[uint64]struct{}
	// asked counts the identities that were asked for since, of pods that it does not reach.
	asked atomic.Int64

	mu    sync.Mutex
	pools map[string]int64 // pool in the index -> its generation there
}

func newViews(lists *lists, pods func(context.Context) podSet, clk clock.PassiveClock, times Times) *views {
	return &views{lists: lists, pods: pods, clock: clk, times: times, current: map[string]*view{}}
}

// bind binds the claim with an address of the pool. The names of the leases are enough to find a free one. When they say that there is none, the
// leases are read whole, once for all who are waiting, for records that are free to take. left, if not nil, is what the claim's identity had left behind
// when the claim was made, which was just now: nobody has made a lease for it.
func (v *views) bind(
	ctx context.Context, binder func(*binding.Index) *binding.Binder,
	claim *v1alpha1.MacClaim, pool *v1alpha1.MacPool, holder *v1alpha1.Holder, left *left,
) (*v1alpha1.MacClaim, error) {
	segment := binding.SegmentOf(pool)
	for _, full := range []bool{false, true} {
		view, err := v.get(ctx, segment, full, 0)
		if err != nil {
			return nil, err
		}
		if err := view.setPool(pool); err != nil {
			return nil, err
		}
		bind := (*binding.Binder).Bind
		if full || left == nil {
			err = v.setIdentity(ctx, view, claim)
		} else if err = left.await(ctx); err == nil && !left.enter(view) {
			bind = (*binding.Binder).BindNew
		}
		if err != nil {
			return nil, err
		}
		bound, err := bind(binder(view.index), ctx, claim, pool, holder)
		if !problem.PoolExhausted.Is(err) || full || view.full && v.age(view) <= v.times.FullView {
			return bound, err
		}
	}
	panic("unreachable: the second round returns")
}

func (v *views) age(w *view) time.Duration { return timeline.Elapsed(v.clock.Now(), w.made) }

// get returns a view that is young enough, or loads one, together with all others that ask for the same. One that is loaded shows the names as they were
// at the revision, or later; 0 for as they are now.
func (v *views) get(ctx context.Context, segment string, full bool, revision uint64) (*view, error) {
	v.mu.Lock()
	known := v.current[segment]
	v.mu.Unlock()
	if known != nil {
		if age := v.age(known); !full && age <= v.times.View || full && known.full && age <= v.times.FullView {
			return known, nil
		}
	}
	return v.fetch(ctx, segment, full, revision)
}

// fetch loads a view, together with all others that load the same.
func (v *views) fetch(ctx context.Context, segment string, full bool, revision uint64) (*view, error) {
	// Whoever asked first may hang up: the list is for all.
	shared := context.WithoutCancel(ctx)
	loaded := v.loading.DoChan(fmt.Sprintf("%s %t", segment, full), func() (any, error) {
		ctx, cancel := context.WithTimeout(shared, viewTimeout)
		defer cancel()
		return v.load(ctx, segment, full, revision)
	})
	select {
	case result := <-loaded:
		view, _ := result.Val.(*view)
		return view, result.Err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (v *views) load(ctx context.Context, segment string, full bool, revision uint64) (*view, error) {
	w := &view{
		index: binding.NewIndex(), made: v.clock.Now(), full: full, pools: map[string]int64{},
		reach: reach{pods: v.pods(ctx), current: true}, identities: map[uint64]struct{}{},
	}
	list := w.listNames
	if full {
		list, revision = w.listWhole, 0
	} else if revision != 0 {
		revision = w.reach.pods.latest(revision)
	}
	options := client.ListOptions{Limit: viewPage}
	client.MatchingLabels{v1alpha1.LabelSegment: segment}.ApplyToList(&options)
	for {
		next, err := list(ctx, v.lists, revision, &options)
		if err != nil {
			return nil, fmt.Errorf("listing the leases of segment %s: %w", segment, err)
		}
		if next == "" {
			break
		}
		options.Continue, revision = next, 0 // which goes on where it was
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.current[segment] = w
	return w, nil
}

func (w *view) listNames(ctx context.Context, l *lists, revision uint64, options *client.ListOptions) (string, error) {
	page := &metav1.PartialObjectMetadataList{}
	page.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MacLeaseList"))
	current, err := l.since(ctx, revision, page, options)
	if err != nil {
		return "", err
	}
	if options.Continue == "" {
		w.reach.current, w.reach.revision = current, revisionOf(page.ResourceVersion)
	}
	for _, item := range page.Items {
		w.identities[identityKey(item.Labels[v1alpha1.LabelIdentity])] = struct{}{}
		name, err := mac.ParseName(item.Name)
		if macName, ok := mac.ParseMACName(item.Name); ok {
			// A MAC's lease or its lock: which of them cannot be told from the name, and either way nobody else may have the MAC.
			name, err = macName, nil
		}
		if err == nil {
			w.index.Observe(allocator.Lease{Name: name, UID: string(item.UID), State: allocator.Leased})
		}
	}
	return page.Continue, nil
}

func (w *view) listWhole(ctx context.Context, l *lists, revision uint64, options *client.ListOptions) (string, error) {
	page := &v1alpha1.MacLeaseList{}
	if _, err := l.since(ctx, revision, page, options); err != nil {
		return "", err
	}
	for i := range page.Items {
		w.identities[identityKey(page.Items[i].Labels[v1alpha1.LabelIdentity])] = struct{}{}
		w.index.SetLease(&page.Items[i])
	}
	return page.Continue, nil
}

// identityKey is the beginning of an identity's hash. Two that share it are asked for once more than they need.
func identityKey(label string) uint64 {
	key, _ := strconv.ParseUint(label[:min(len(label), 16)], 16, 64) // 0 for what is no hash
	return key
}

// isNew tells whether the identity of the claim had no lease when the pod came, but what this agent has made: then there is none to be asked for. What
// the identity had before, the pod before it had: it was there then.
func (w *view) isNew(claim *v1alpha1.MacClaim, pod types.UID) bool {
	if !w.reach.has(pod) {
		return false
	}
	_, known := w.identities[identityKey(binding.IdentityLabel(claim.Namespace, claim.Name))]
	return !known
}

// namesPerAsking is how many names are listed for the price of a question for one identity.
const namesPerAsking = 64

// isWorthAnother tells, of a pod that the view does not reach, whether another view is to be loaded instead of asking for the pod's identity: when what
// was asked since has cost as much.
func (w *view) isWorthAnother() bool {
	return !w.full && w.asked.Add(1) > int64(len(w.identities)/namesPerAsking)
}

// setPool enters the pool as the caller sees it: others of its segment may be in the view already.
func (w *view) setPool(pool *v1alpha1.MacPool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pools[pool.Name] == pool.Generation {
		return nil
	}
	if err := w.index.SetPool(pool); err != nil {
		return problem.PoolNotReady.New(pool.Name, err)
	}
	w.pools[pool.Name] = pool.Generation
	return nil
}

// setIdentity enters the leases of the claim's identity whole, as they are now: one that an earlier attempt made for this claim
// must be used again, and one that is cooling may be (protocol, Bind 2 and 3).
func (v *views) setIdentity(ctx context.Context, w *view, claim *v1alpha1.MacClaim) error {
	own, err := v.ofIdentity(ctx, claim, 0)
	if err != nil {
		return err
	}
	for i := range own {
		w.index.SetLease(&own[i])
	}
	return nil
}

// ofIdentity are the leases of the claim's identity as they were at the revision or later; 0 for as they are now.
func (v *views) ofIdentity(ctx context.Context, claim *v1alpha1.MacClaim, revision uint64) ([]v1alpha1.MacLease, error) {
	var own v1alpha1.MacLeaseList
	_, err := v.lists.since(ctx, revision, &own, client.MatchingLabels{
		v1alpha1.LabelIdentity: binding.IdentityLabel(claim.Namespace, claim.Name),
	})
	if err != nil {
		return nil, fmt.Errorf("listing the leases of claim %s: %w", client.ObjectKeyFromObject(claim), err)
	}
	return own.Items, nil
}

// drop forgets views that are too old to be used: a segment's names are megabytes in a large one.
func (v *views) drop(context.Context) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for segment, w := range v.current {
		if v.age(w) > v.times.View {
			delete(v.current, segment)
		}
	}
}
