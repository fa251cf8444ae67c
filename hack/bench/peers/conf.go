// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/invoke"

	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/rig"
)

// Placeholders of PEER_CONF, which docs/benchmarks.md explains.
const (
	placeKubeconfig = "@KUBECONFIG@"
	placeAPI        = "@API@"
	placeDir        = "@DIR@"
	placeNode       = "@NODE@"
	placeConf       = "@CONF@"
)

// versions are those of CNI in which plugins are called, the best first.
var versions = []string{"1.0.0", "0.4.0", "0.3.1"}

// ipamConf is the ipam part that the caller of make bench has written, with what stands for the placeholders, and its type.
func ipamConf(text []byte, places map[string]string) (conf json.RawMessage, kind string, err error) {
	var pairs []string
	for place, value := range places {
		quoted, err := json.Marshal(value)
		if err != nil {
			return nil, "", fmt.Errorf("quoting %s: %w", place, err)
		}
		pairs = append(pairs, place, strings.Trim(string(quoted), `"`))
	}
	conf = json.RawMessage(strings.NewReplacer(pairs...).Replace(string(text)))
	var has struct {
		Type string          `json:"type"`
		IPAM json.RawMessage `json:"ipam"`
	}
	if err := json.Unmarshal(conf, &has); err != nil {
		return nil, "", fmt.Errorf("reading the ipam part of a configuration: %w", err)
	}
	if has.IPAM != nil {
		return nil, "", errors.New("reading the ipam part of a configuration: it is to be that part alone, what stands behind \"ipam\": in a network")
	}
	if has.Type == "" {
		return nil, "", errors.New("reading the ipam part of a configuration: it has no type")
	}
	return conf, has.Type, nil
}

// netConf is what a main plugin gets from the runtime, and hands to its IPAM plugin as it is.
func netConf(version, network, master string, ipam json.RawMessage) ([]byte, error) {
	text, err := json.Marshal(map[string]any{
		"cniVersion": version, "name": network, "type": "macvlan", "master": master, "mode": "bridge", "ipam": ipam,
	})
	if err != nil {
		return nil, fmt.Errorf("writing the configuration of network %s: %w", network, err)
	}
	return text, nil
}

// peerOf makes a contender of the plugin that the caller has named.
func peerOf(ctx context.Context, r *rig.Rig, w *world) (*contender, error) {
	text, err := os.ReadFile(r.PeerConf)
	if err != nil {
		return nil, fmt.Errorf("reading PEER_CONF: %w", err)
	}
	dir := filepath.Join(r.Disk, "peer-"+w.node.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the peer: %w", err)
	}
	kubeconfig := filepath.Join(w.lab.Dir, "peer.kubeconfig")
	if err := w.node.WriteStrangerKubeconfig(ctx, kubeconfig); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "conf.json")
	ipam, kind, err := ipamConf(text, map[string]string{
		placeKubeconfig: kubeconfig, placeAPI: "https://" + w.node.API.Addr(), placeDir: dir, placeNode: w.node.Name, placeConf: file,
	})
	if err != nil {
		return nil, err
	}
	// Some refuse to work without a file of their own, although all is said in the network.
	if err := os.WriteFile(file, ipam, 0o600); err != nil { //nolint:gosec // G703: in the directory of the report, which who runs this names
		return nil, fmt.Errorf("writing the peer's file: %w", err)
	}
	speaks, err := invoke.GetVersionInfo(ctx, r.Peer, w.node.Exec())
	if err != nil {
		return nil, fmt.Errorf("asking %s for its versions: %w", filepath.Base(r.Peer), err)
	}
	i := slices.IndexFunc(versions, func(v string) bool { return slices.Contains(speaks.SupportedVersions(), v) })
	if i < 0 {
		return nil, fmt.Errorf("%s speaks none of the versions of CNI that are tried: %s", filepath.Base(r.Peer), strings.Join(versions, ", "))
	}
	conf, err := netConf(versions[i], "peer", masterOf(vlanOthers), ipam)
	if err != nil {
		return nil, err
	}
	return &contender{
		name: peerName(kind), kind: kind, path: r.Peer, conf: conf, world: w, namespace: "peer", vlan: vlanOthers, asks: []string{lab.Stranger},
	}, nil
}

// peerName keeps a peer apart from the floor, which may be the same plugin.
func peerName(kind string) string {
	if kind == floor {
		return kind + ", as peer"
	}
	return kind
}
