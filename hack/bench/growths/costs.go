// SPDX-License-Identifier: Apache-2.0

package growths

import (
	"context"
	"fmt"
	"time"

	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
	"github.com/macpool/macpool/internal/binding"
)

// costs are what one operation costs wherever it is done: from these docs/scale.md is computed.
type costs struct {
	// octets are the sizes of the objects in etcd, writes how often each was written for one pod until it was attached.
	octets, writes map[string]float64
	// requests are those of the manager for one pod that came and went.
	requests float64
	// reports is how often a node that has nothing to say writes its MacNode, in a second.
	reports float64
}

// requests counts what a process has asked the API server.
const requests = "rest_client_requests_total"

// measureCosts looks at a pod that was bound and attached on the node of the lane, and at its node.
func (l *lane) measureCosts(ctx context.Context) (*costs, error) {
	store := etcd{l.w.API.Etcd}
	claim := l.w.template.claim
	keys := map[string]string{
		"MacClaim": "/registry/macpool.dev/macclaims/" + claim.Namespace + "/" + claim.Name,
		"MacLease": "/registry/macpool.dev/macleases/" + claim.Status.LeaseName,
		"MacPool":  "/registry/macpool.dev/macpools/" + poolName,
		"MacNode":  "/registry/macpool.dev/macnodes/" + l.w.node.Name,
		"Pod":      "/registry/pods/" + claim.Namespace + "/" + binding.PodName(*claim.Spec.Workload),
	}
	c := &costs{octets: map[string]float64{}, writes: map[string]float64{}}
	for kind, key := range keys {
		found, err := store.get(ctx, key)
		if err != nil {
			return nil, err
		}
		c.octets[kind] = float64(len(found.Value))
		if c.writes[kind], err = store.version(ctx, key); err != nil {
			return nil, err
		}
	}
	before := c.writes["MacNode"]
	idle, err := metricsOf(ctx, l.w.ManagerMetrics)
	if err != nil {
		return nil, err
	}
	if err := rig.Pause(ctx, window); err != nil {
		return nil, err
	}
	after, err := store.version(ctx, keys["MacNode"])
	if err != nil {
		return nil, err
	}
	c.reports = (after - before) / window.Seconds()
	const pods = 5
	asked, err := metricsOf(ctx, l.w.ManagerMetrics)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	for i := range pods {
		if _, err := l.bindOne(ctx, fmt.Sprintf("cost-%d", i)); err != nil {
			return nil, err
		}
		if _, err := l.attach(ctx, l.pods[len(l.pods)-1]); err != nil {
			return nil, err
		}
	}
	l.pods = nil
	if err := rig.Pause(ctx, 3*time.Second); err != nil { // claims of bare pods end soon after them
		return nil, err
	}
	then, err := metricsOf(ctx, l.w.ManagerMetrics)
	// The manager asks something by itself, too: as often as it did while nothing happened.
	byItself := (asked[requests] - idle[requests]) / window.Seconds() * time.Since(begin).Seconds()
	c.requests = (then[requests] - asked[requests] - byItself) / pods
	return c, err
}

func (c *costs) table() measure.Table {
	t := measure.Table{Title: "What one pod's lease costs", Header: []string{"object", "octets in etcd", "writes until attached"}}
	for _, kind := range []string{"MacClaim", "MacLease", "Pod", "MacPool", "MacNode"} {
		writes := fmt.Sprintf("%.0f", c.writes[kind])
		if kind == "MacPool" || kind == "MacNode" {
			writes = "" // for all pods together
		}
		t.Rows = append(t.Rows, []string{kind, fmt.Sprintf("%.0f", c.octets[kind]), writes})
	}
	t.Rows = append(t.Rows,
		[]string{"requests of the manager for a pod that comes and goes", fmt.Sprintf("%.1f", c.requests), ""},
		[]string{"reports of a node that has nothing to say, a second", fmt.Sprintf("%.2f", c.reports), ""})
	return t
}
