// SPDX-License-Identifier: Apache-2.0

package root

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	testclock "k8s.io/utils/clock/testing"

	"github.com/macpool/macpool/docs"
	"github.com/macpool/macpool/internal/cli"
)

var update = flag.Bool("update", false, "write testdata anew")

// uid is what the API server chooses.
var uid = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// answerTo runs the program as a person does, and returns all that it says.
func answerTo(t *testing.T, args ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut}
	f := cli.NewFactory(streams)
	f.Clock, f.Zone = testclock.NewFakePassiveClock(now), time.UTC
	c := newRoot(f)
	c.SetArgs(append([]string{"--kubeconfig", kubeconfig}, args...))
	c.SetContext(t.Context())
	status := Execute(c, streams)
	return uid.ReplaceAllString(out.String()+errOut.String(), "UID") + "exit status " + strconv.Itoa(status) + "\n"
}

// What each command says, in each format, of one cluster. "go test ./internal/cli/root -update" writes it anew.
func TestAnswers(t *testing.T) {
	cluster(t)
	tests := map[string]string{
		"who":                "who 192.168.50.16",
		"who-wide":           "who fd00:50:0::10 -o wide",
		"who-json":           "who 02-32-00-A8-32-10 -o json",
		"who-yaml":           "who 192.168.50.17 -o yaml",
		"who-name":           "who home/db-0 -o name",
		"who-pod":            "who -n home db-0",
		"who-at":             "who 0232.00a8.3210 --at 45h",
		"who-between":        "who 02:32:00:a8:32:10 --at 90m",
		"who-early":          "who 02:32:00:a8:32:10 --at 2025-12-01",
		"who-cooling":        "who 02:32:00:a8:32:11",
		"who-conflict":       "who 02:32:00:a8:32:12",
		"who-out-of-range":   "who 02:32:00:a8:32:32",
		"who-free":           "who 02:32:00:a8:32:14",
		"who-on-request":     "who 02:32:00:a8:32:05",
		"who-reserved":       "who 02:32:00:a8:32:0c",
		"who-for-nobody":     "who 02:32:00:a8:32:0d",
		"who-gateway":        "who 02:32:00:a8:32:01",
		"who-outside":        "who 02:32:00:a8:32:2d",
		"who-mac-alone":      "who 02:46:00:00:00:14",
		"who-no-pool":        "who 172.16.0.1",
		"who-no-pod":         "who -n home nobody",
		"who-no-address":     "who 192.168.50",
		"who-no-time":        "who 192.168.50.16 --at noon",
		"who-future":         "who 192.168.50.16 --at 2026-02-01",
		"who-no-argument":    "who",
		"history":            "history 02:32:00:a8:32:10",
		"history-wide":       "history 02:32:00:a8:32:10 -o wide",
		"history-claim":      "history -n home camera.iot.net1",
		"history-json":       "history 02:32:00:a8:32:11 -o json",
		"history-never":      "history 02:32:00:a8:32:14",
		"map":                "map iot",
		"map-at":             "map iot --at 45h",
		"map-part":           "map iot 192.168.50.16/28",
		"map-part-json":      "map iot fd00:50::10/127 -o json",
		"map-yaml":           "map iot 192.168.50.17 -o yaml",
		"map-name":           "map iot -o name",
		"map-large":          "map big",
		"map-large-part":     "map big 10.0.7.0/27",
		"map-macs":           "map lan",
		"map-macs-part":      "map lan 02:46:00:00:00:10/43",
		"map-no-pool":        "map nix",
		"map-no-part":        "map iot 10.0.0.0/24",
		"map-no-prefix":      "map iot here",
		"explain":            "explain -n home db-0",
		"explain-wide":       "explain -n home db-0 -o wide",
		"explain-late":       "explain home/late",
		"explain-json":       "explain home/late -o json",
		"explain-claim":      "explain -n home macclaim/late.iot.net1",
		"explain-lost":       "explain -n home lost",
		"explain-unplaced":   "explain -n home pod/unplaced",
		"explain-nothing":    "explain -n home nobody",
		"explain-an-address": "explain 192.168.50.16",
		"no-format":          "who 192.168.50.16 -o xml",
		"complete-pools":     "__complete map ",
		"complete-namespace": "__complete who -n h",
		"complete-holders":   "__complete explain -n home d",
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			words := strings.Fields(args)
			if strings.HasSuffix(args, " ") {
				words = append(words, "")
			}
			got := "$ kubectl macpool " + args + "\n" + answerTo(t, words...)
			path := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Each command says in its help how it is used.
func TestHelp(t *testing.T) {
	t.Parallel()
	c := New(genericiooptions.IOStreams{In: strings.NewReader(""), Out: &bytes.Buffer{}, ErrOut: &bytes.Buffer{}})
	for _, sub := range c.Commands() {
		if sub.Long == "" || !strings.Contains(sub.Example, "kubectl macpool "+sub.Name()) || sub.ValidArgsFunction == nil && sub.Args == nil {
			t.Errorf("%s needs a long text, an example and a word on its arguments", sub.Name())
		}
		for line := range strings.Lines(sub.Example) {
			words := strings.Fields(strings.TrimSpace(line))
			if len(words) > 2 && words[0] == "kubectl" {
				if found, _, err := c.Find(words[2:]); err != nil || found != sub {
					t.Errorf("example %q is of no command", line)
				}
			}
		}
	}
}

// What docs/cli.md shows is what the commands say here.
func TestPage(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{} // first line -> all
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		answer := string(text[:bytes.LastIndex(text, []byte("exit status"))])
		command, _, _ := strings.Cut(answer, "\n")
		said[command] = strings.TrimSpace(answer)
	}
	blocks, err := docs.Blocks(filepath.Join("..", "..", "..", "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, block := range blocks {
		command, _, _ := strings.Cut(block.Text, "\n")
		if !block.Is("console") || !strings.HasPrefix(command, "$ kubectl macpool ") {
			continue
		}
		want, ok := said[command]
		if !ok {
			t.Errorf("%s: %q is not among the commands that TestAnswers runs", block, command)
		}
		shown++
		if diff := cmp.Diff(want, strings.TrimSpace(block.Text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", command, diff)
		}
	}
	if shown < 8 {
		t.Errorf("the page shows %d answers", shown)
	}
}
