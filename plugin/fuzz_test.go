// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"

	"github.com/macpool/macpool/internal/problem"
)

// FuzzConf: whatever the configuration, parsing ends in a conf or in an entry of the catalogue, and DEL's reading agrees
// with the other verbs' about what is right.
func FuzzConf(f *testing.F) {
	for _, seed := range []string{
		`{"cniVersion":"1.0.0","name":"iot","type":"macvlan","mode":"bridge","ipam":{"type":"macpool","pool":"iot","routes":[{"dst":"10.0.0.0/8","gw":"192.168.50.1"}],"dns":{"nameservers":["192.168.50.1"]}}}`,
		`{"cniVersion":"0.3.1","name":"iot","type":"macpool","prevResult":{"interfaces":[{"name":"net1","mac":"02:32:00:a8:32:08","sandbox":"/run/netns/x"}],"ips":[{"version":"4","address":"192.168.50.8/24","interface":0}]}}`,
		`{"name":"iot","args":{"cni":{"ips":["192.168.50.8"],"mac":"02:32:00:a8:32:08"}},"runtimeConfig":{"ips":[],"mac":""}}`,
		`{"name":"iot","cni.dev/valid-attachments":[{"containerID":"c","ifname":"net1"}]}`,
		`{"prevResult":{"interfaces":[null]}}`, `null`, `{`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		skimmed := skimConf(data)
		c, err := parseConf(data)
		if err != nil {
			if problem.As(err) == nil {
				t.Fatalf("%v is no entry of the catalogue", err)
			}
			return
		}
		if skimmed.Type != c.Type || skimmed.Name != c.Name || skimmed.IPAM.Pool != c.IPAM.Pool {
			t.Fatalf("DEL reads %q %q %q, the others %q %q %q", skimmed.Type, skimmed.Name, skimmed.IPAM.Pool, c.Type, c.Name, c.IPAM.Pool)
		}
		if _, err := c.role(); err != nil && problem.As(err) == nil {
			t.Fatalf("%v is no entry of the catalogue", err)
		}
		if err := c.refuseMain(); err != nil && problem.As(err) == nil {
			t.Fatalf("%v is no entry of the catalogue", err)
		}
		_, _ = c.sandboxInterface("net1")
		_ = c.wish(cniArgs{})
	})
}

func FuzzArgs(f *testing.F) {
	f.Add("IgnoreUnknown=1;K8S_POD_NAMESPACE=home;K8S_POD_NAME=db-0;K8S_POD_UID=u;IP=192.168.50.8/24,fd00::8;MAC=02:32:00:a8:32:08")
	f.Add("K8S_POD_NAME==;;IP=,")
	f.Fuzz(func(t *testing.T, text string) {
		for _, ip := range parseArgs(text).ips {
			if ip == "" {
				t.Fatal("an empty address")
			}
		}
	})
}

func FuzzSpoolName(f *testing.F) {
	f.Add("c1", "net1")
	f.Add("../../etc/passwd", "a/b")
	f.Fuzz(func(t *testing.T, id, iface string) {
		checkSpoolName(t, id, iface)
	})
}
