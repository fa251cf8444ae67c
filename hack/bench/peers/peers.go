// SPDX-License-Identifier: Apache-2.0

// Package peers compares macpool with another IPAM plugin, which the caller names: IPAM alone, called as a main plugin calls it.
package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
)

// floor is the plugin that knows its node only, and asks nobody.
const floor = "host-local"

const about = "IPAM plugins alone: each is executed as a main plugin executes it, ADD for every pod and then DEL, by 1, 10 and 50 callers at a time, of which each waits for one " +
	"call before it makes the next. The pods, their network namespaces and interfaces are there before, and the same for all. All ask the same API server, from one node; " +
	"state, and etcd, are on a disk. macpool is there twice: pre-bound, as pods usually find it, since the manager binds a claim and the agent asks the VLAN for its address while the " +
	"sandbox is being made; and unbound, where the manager stands still and the agent does all of it within the ADD, without a question to the VLAN, as no peer asks one. A call that takes " +
	"more than two minutes, which is a kubelet's patience, is cut off. Quantiles are medians over the rounds of those within a round, of calls that succeeded; where a round has less than a hundred " +
	"calls, the p99 is the slowest. Requests and octets are counted in a cluster with an audit log, besides and untimed."

// Run is the section.
func Run(ctx context.Context, r *rig.Rig) (*measure.Result, error) {
	if r.Peer == "" || r.PeerConf == "" {
		return nil, errors.New("name a plugin to compare with, and its configuration: make bench PEER=path PEER_CONF=path, see docs/benchmarks.md")
	}
	r.Options.State = r.Disk
	l, err := r.Lab(ctx)
	if err != nil {
		return nil, err
	}
	all, err := gather(ctx, r, l, "node-a")
	if err != nil {
		return nil, err
	}
	var turns []measure.Candidate
	for _, c := range all {
		c.enter()
		turns = append(turns, measure.Candidate{Name: c.name, Round: c.round(r)})
	}
	if err := measure.InTurn(ctx, r.Rounds, turns, r.Say); err != nil {
		return nil, err
	}
	result := &measure.Result{
		About:  about,
		Tables: []measure.Table{timesTable(all), ratioTable(all)},
		Charts: charts(all), Targets: targets(all),
	}
	if table := failureTable(all); len(table.Rows) > 0 {
		result.Tables = append(result.Tables, table)
	}
	for _, c := range all {
		result.Series = append(result.Series, c.series()...)
	}
	table, counted, err := count(ctx, r, l, all)
	if err != nil {
		return nil, err
	}
	result.Tables = append(result.Tables, table)
	result.Series = append(result.Series, counted...)
	return result, nil
}

// gather makes the contenders in a cluster of their own: macpool twice, the floor, and at last the peer.
func gather(ctx context.Context, r *rig.Rig, l *lab.Lab, node string) ([]*contender, error) {
	w, err := furnish(ctx, l, node)
	if err != nil {
		return nil, err
	}
	if r.PeerManifests != "" {
		if err := install(ctx, l, r.PeerManifests); err != nil {
			return nil, err
		}
	}
	var all []*contender
	for _, c := range []struct {
		name, namespace string
		vlan            int
		ahead, alone    bool
	}{
		{name: "macpool, pre-bound", namespace: "ahead", vlan: vlanAhead, ahead: true},
		{name: "macpool, unbound", namespace: "alone", vlan: vlanAlone, alone: true},
	} {
		ipam := json.RawMessage(fmt.Sprintf(`{"type": "macpool", "pool": %q}`, c.namespace))
		conf, err := netConf(versions[0], "net", masterOf(c.vlan), ipam)
		if err != nil {
			return nil, err
		}
		all = append(all, &contender{
			name: c.name, kind: "macpool", path: filepath.Join(r.Options.Bin, "macpool"), conf: conf, world: w,
			namespace: c.namespace, networks: "net", vlan: c.vlan, ahead: c.ahead, alone: c.alone, asks: []string{"macpool-manager", "macpool-agent"},
		})
	}
	ipam, err := json.Marshal(map[string]any{
		"type": floor, "dataDir": filepath.Join(r.Disk, floor+"-"+node), "ranges": [][]map[string]string{{{"subnet": "10.99.0.0/16"}}},
	})
	if err != nil {
		return nil, fmt.Errorf("writing the configuration of %s: %w", floor, err)
	}
	conf, err := netConf(versions[0], "floor", masterOf(vlanOthers), ipam)
	if err != nil {
		return nil, err
	}
	all = append(all, &contender{name: floor, kind: floor, path: filepath.Join(r.Options.CNI, floor), conf: conf, world: w, namespace: "floor", vlan: vlanOthers})
	peer, err := peerOf(ctx, r, w)
	if err != nil {
		return nil, err
	}
	return append(all, peer), nil
}

// install applies what the peer needs, and waits until the API server knows its kinds.
func install(ctx context.Context, l *lab.Lab, manifests string) error {
	if out, err := l.API.Kubectl(ctx, "apply", "--server-side", "-f", manifests); err != nil {
		return fmt.Errorf("applying PEER_MANIFESTS: %w\n%s", err, out)
	}
	if out, err := l.API.Kubectl(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
		return fmt.Errorf("waiting for the kinds of PEER_MANIFESTS: %w\n%s", err, out)
	}
	return nil
}
