// SPDX-License-Identifier: Apache-2.0

package timeline

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
)

// nodes are what a process has seen of the MacNodes. Not safe for concurrent use.
type nodes struct {
	listed bool
	of     uint64    // the doubt for which baseline was taken
	at     time.Time // of the last list
	// began is when baseline was taken.
	began    time.Time
	baseline map[string]sighting
	// seen is each node as it was seen last, and since when it is so by this process's clock. Nodes that the last list did not
	// have stay until a doubt is settled: they may have been lost.
	seen     map[string]sighting
	present  map[string]bool
	timeline int64 // the highest of the last list
	latest   int64 // the highest ever
	// revision is the highest at which the API has answered. Lists of one kind, each read live, go forward or the API went back.
	revision uint64
}

// sighting is a MacNode at a time.
type sighting struct {
	uid      types.UID
	epoch    int64
	renewed  time.Time
	timeline int64
	since    time.Time
}

// note enters a list that was begun after this doubt. It tells whether it shows that the API has gone back.
func (n *nodes) note(list *v1alpha1.MacNodeList, doubt uint64, now time.Time) (wentBack bool) {
	if revision, err := strconv.ParseUint(list.ResourceVersion, 10, 64); err == nil {
		wentBack = revision < n.revision
		n.revision = revision
	}
	present := make(map[string]bool, len(list.Items))
	n.timeline = 0
	for i := range list.Items {
		node := &list.Items[i]
		is := sighting{
			uid: node.UID, epoch: node.Status.Epoch, renewed: node.Status.RenewTime.Time,
			timeline: node.Status.Timeline, since: now,
		}
		if was, known := n.seen[node.Name]; known {
			// One that was made again is another machine's, perhaps, which counts from one.
			wentBack = wentBack || is.uid == was.uid && is.epoch < was.epoch
			if is.uid == was.uid && is.epoch == was.epoch && is.renewed.Equal(was.renewed) {
				is.since = was.since
			}
		}
		n.seen[node.Name] = is
		present[node.Name] = true
		n.timeline = max(n.timeline, is.timeline)
	}
	n.present = present
	wentBack = wentBack || n.listed && n.timeline > n.latest
	n.latest = max(n.latest, n.timeline)
	if !n.listed || n.of != doubt {
		n.rebase(doubt, now)
	}
	n.listed, n.at = true, now
	return wentBack
}

// rebase makes what was seen last the baseline of a doubt.
func (n *nodes) rebase(doubt uint64, now time.Time) {
	n.of, n.began, n.baseline = doubt, now, maps.Clone(n.seen)
}

// waitedFor are the nodes that have not been heard of since the baseline, and are not known to be away; unknown: there is no
// MacNode, and there may be one in a moment. It is as of the last list: nobody is silent who was not listened to. Time is that of the monotonic
// clock: one that is set makes nobody silent.
func (n *nodes) waitedFor(times Times) (waiting []string, unknown bool) {
	for name, was := range n.baseline {
		is := n.seen[name]
		switch {
		case !n.present[name]:
			// The API knew it before. An agent that is there makes its MacNode again; one that was deleted by a person, or
			// with its Node, will not be waited for long.
			if n.at.Sub(n.began) < times.Silence {
				waiting = append(waiting, name)
			}
		case is.uid != was.uid || is.epoch > was.epoch:
		case n.at.Sub(is.since) >= times.Silence:
		default:
			waiting = append(waiting, name)
		}
	}
	if len(waiting) > 0 {
		slices.Sort(waiting)
		return waiting, false
	}
	if len(n.present) == 0 && n.at.Sub(n.began) < times.Empty {
		return nil, true
	}
	for name := range n.seen {
		if !n.present[name] {
			delete(n.seen, name)
		}
	}
	return nil, false
}
