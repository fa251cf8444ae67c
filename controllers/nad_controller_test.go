// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
)

func TestNetworksAreRead(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	const ipam = `"ipam": {"type": "macpool", "pool": "iot"}`
	said := map[*nadv1.NetworkAttachmentDefinition]int{} // network -> how many events it should have
	for name, tc := range map[string]struct {
		config  string
		reasons []string
	}{
		"complete":         {config: `{"plugins": [{"type": "macvlan", ` + ipam + `}, {"type": "macpool"}]}`},
		"with tuning":      {config: `{"plugins": [{"type": "macvlan", ` + ipam + `}, {"type": "tuning"}, {"type": "macpool"}]}`},
		"not ours":         {config: `{"type": "macvlan", "ipam": {"type": "dhcp"}}`},
		"others' nonsense": {config: `{"type": "macvlan"`},
		"no config":        {config: ``},
		"founding case":    {config: `{"plugins": [{"type": "macvlan", ` + ipam + `}, {"type": "tuning", "capabilities": {"mac": true, "ips": true}}]}`, reasons: []string{"ChainedEntryMissing"}},
		"one plugin":       {config: `{"type": "macvlan", ` + ipam + `}`, reasons: []string{"ChainedEntryMissing"}},
		"chained first":    {config: `{"plugins": [{"type": "macpool"}, {"type": "macvlan", ` + ipam + `}]}`, reasons: []string{"ChainedEntryMissing"}},
		"no pool":          {config: `{"plugins": [{"type": "macvlan", "ipam": {"type": "macpool"}}, {"type": "macpool"}]}`, reasons: []string{"NoPoolNamed"}},
		"pool no string":   {config: `{"plugins": [{"type": "macvlan", "ipam": {"type": "macpool", "pool": 5}}, {"type": "macpool"}]}`, reasons: []string{"NoPoolNamed"}},
		"our nonsense":     {config: `{"type": "macvlan", ` + ipam, reasons: []string{"BadConfig"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, Client: w.Client}
			nad := w.networkOf(ns, strings.NewReplacer(" ", "-", "'", "").Replace(name), tc.config)
			for _, reason := range tc.reasons {
				note := w.told(nad, reason)
				if reason == "ChainedEntryMissing" && !strings.Contains(note, `{"type": "macpool"}`) {
					t.Errorf("note %q does not say what to add", note)
				}
			}
			said[nad] = len(tc.reasons)
		})
	}
	for nad := range said {
		change(w, nad, func(n *nadv1.NetworkAttachmentDefinition) { n.Labels = map[string]string{"looked": "again"} })
	}
	w.never("more is said than what is wrong, or it is said again", func() bool {
		for nad, n := range said {
			if events := w.events(nad); len(events) != n || n > 0 && events[0].Series != nil {
				return true
			}
		}
		return false
	})
}
