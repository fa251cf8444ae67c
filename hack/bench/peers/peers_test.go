// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/google/go-cmp/cmp"
)

func TestIPAMConf(t *testing.T) {
	places := map[string]string{placeKubeconfig: "/run/a", placeAPI: "https://127.0.0.1:1", placeDir: `/a"b`, placeNode: "node-a", placeConf: "/run/c"}
	for name, test := range map[string]struct {
		text, want, kind string
		wantErr          string
	}{
		"places":     {text: `{"type": "x", "a": "@KUBECONFIG@", "b": ["@API@/@NODE@", "@CONF@"]}`, want: `{"type": "x", "a": "/run/a", "b": ["https://127.0.0.1:1/node-a", "/run/c"]}`, kind: "x"},
		"quotes":     {text: `{"type": "x", "dir": "@DIR@/y"}`, want: `{"type": "x", "dir": "/a\"b/y"}`, kind: "x"},
		"no type":    {text: `{}`, wantErr: "no type"},
		"no JSON":    {text: `{`, wantErr: "JSON"},
		"too much":   {text: `{"type": "macvlan", "ipam": {"type": "x"}}`, wantErr: "that part alone"},
		"not at all": {text: `[]`, wantErr: "cannot unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			conf, kind, err := ipamConf([]byte(test.text), places)
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Fatalf("ipamConf: %v, want an error with %q", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{test.want, test.kind}, []string{string(conf), kind}); diff != "" {
				t.Errorf("ipamConf (-want +got)\n%s", diff)
			}
		})
	}
}

// called runs a script as a plugin, for so many attachments.
func called(t *testing.T, script, command string, attachments, callers int, l limits) *batch {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	of := make([]*attachment, attachments)
	for i := range of {
		of[i] = &attachment{container: fmt.Sprint(i), netns: "/proc/self/ns/net", namespace: "default", pod: fmt.Sprint(i)}
	}
	exec := &invoke.DefaultExec{RawExec: &invoke.RawExec{}, PluginDecoder: version.PluginDecoder{}}
	return callAll(t.Context(), exec, path, []byte(`{"cniVersion": "1.0.0", "name": "n", "ipam": {}}`), command, of, callers, l)
}

// patient is more than any script here takes.
var patient = limits{call: time.Minute, batch: time.Minute}

func TestCallAll(t *testing.T) {
	one := `printf '{"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.%s/16"}]}' "$CNI_CONTAINERID"`
	for name, test := range map[string]struct {
		script, command string
		took, twice     int
		wantErr         string
	}{
		"addresses":      {script: one, command: "ADD", took: 6},
		"the same":       {script: `printf '{"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.1/16"}]}'`, command: "ADD", took: 6, twice: 5},
		"no address":     {script: `printf '{"cniVersion": "1.0.0"}'`, command: "ADD", wantErr: "no address"},
		"no result":      {script: `printf nonsense`, command: "ADD", wantErr: "invalid character"},
		"DEL":            {script: `[ "$CNI_COMMAND" = DEL ]`, command: "DEL", took: 6},
		"an error":       {script: `printf '{"code": 100, "msg": "it is full"}'; exit 1`, command: "ADD", wantErr: "it is full"},
		"some fail":      {script: `[ "$CNI_CONTAINERID" -lt 2 ] && exit 1; ` + one, command: "ADD", took: 4, wantErr: "exit status 1"},
		"what it is fed": {script: `grep -q '"name": "n"' && [ "$CNI_IFNAME" = net1 ] && case $CNI_ARGS in *K8S_POD_NAME=*) ` + one + `;; *) exit 1;; esac`, command: "ADD", took: 6},
	} {
		t.Run(name, func(t *testing.T) {
			b := called(t, test.script, test.command, 6, 3, patient)
			if len(b.took) != test.took || len(b.errs) != 6-test.took || b.twice != test.twice || b.slow {
				t.Errorf("%d succeeded, %d failed, %d addresses were given twice, slow: %t; want %d, %d, %d", len(b.took), len(b.errs), b.twice, b.slow, test.took, 6-test.took, test.twice)
			}
			if test.wantErr != "" && (len(b.errs) == 0 || !strings.Contains(b.errs[0].Error(), test.wantErr)) {
				t.Errorf("errors: %v, want %q", b.errs, test.wantErr)
			}
		})
	}
}

// TestHang has plugins that hang cost no more than they may, and be given up.
func TestHang(t *testing.T) {
	for name, l := range map[string]limits{
		"each call": {call: 100 * time.Millisecond, batch: time.Minute},
		"all calls": {call: time.Minute, batch: 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			b := called(t, "exec sleep 600", "ADD", 4, 2, l)
			if len(b.errs) != 4 || !b.slow || !errors.Is(b.errs[0], context.DeadlineExceeded) {
				t.Errorf("slow: %t, errors: %v", b.slow, b.errs)
			}
			if b.wall > time.Minute {
				t.Errorf("it took %s", b.wall)
			}
			c := &contender{}
			c.enter()
			c.note(2, "ADD", b)
			if c.gaveUp == "" || c.failed["ADD"] != 4 {
				t.Errorf("it was not given up: %+v", c)
			}
		})
	}
}

func TestNote(t *testing.T) {
	wrong := errors.New("wrong")
	for name, test := range map[string]struct {
		b      batch
		gaveUp bool
	}{
		"all succeeded": {b: batch{took: []float64{1, 2}}},
		"some did":      {b: batch{took: []float64{1}, errs: []error{wrong}}},
		"none did":      {b: batch{errs: []error{wrong, wrong}}, gaveUp: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := &contender{}
			c.enter()
			c.note(1, "ADD", &test.b)
			if (c.gaveUp != "") != test.gaveUp || c.failed["ADD"] != len(test.b.errs) || (c.example != nil) != (len(test.b.errs) > 0) {
				t.Errorf("noted as %+v", c)
			}
		})
	}
}

// TestTables has the tables hold when a peer was given up in the first round, and before.
func TestTables(t *testing.T) {
	all := []*contender{{name: "macpool, pre-bound", kind: "macpool"}, {name: "whereabouts", kind: "whereabouts"}}
	for _, c := range all {
		c.enter()
	}
	for _, m := range all[0].marks {
		m.add.Add(0, 1, 3)
		m.addRate.Add(0, 100)
	}
	if got := targets(all); len(got) != 0 {
		t.Errorf("there are targets without figures: %v", got)
	}
	if got := charts(all); len(got[0].Lines) != 1 {
		t.Errorf("the picture has %d lines, want that of macpool alone", len(got[0].Lines))
	}
	for _, m := range all[1].marks {
		m.add.Add(0, 24, 72)
		m.addRate.Add(0, 5)
	}
	var values []float64
	for _, target := range targets(all) {
		values = append(values, target.Value)
	}
	if diff := cmp.Diff([]float64{24, 20}, values); diff != "" {
		t.Errorf("targets (-want +got)\n%s", diff)
	}
	row := ratioTable(all).Rows[0]
	if diff := cmp.Diff([]string{"1", "macpool, pre-bound", "24×", "24×", "20×", "–", "–"}, row); diff != "" {
		t.Errorf("ratios (-want +got)\n%s", diff)
	}
}

func TestOneLine(t *testing.T) {
	if got := oneLine("a|b\nc"); got != "a/b c" {
		t.Errorf("oneLine: %q", got)
	}
	if got := oneLine(strings.Repeat("ä", 1000)); len([]rune(got)) != 301 {
		t.Errorf("oneLine has %d runes", len([]rune(got)))
	}
}
