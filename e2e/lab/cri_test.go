// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Each runtime's ordinary day, and what it does when an ADD fails.
func TestPersonalities(t *testing.T) {
	one, two := "ADD net1 netns", "ADD net2 netns"
	for _, tc := range []struct {
		personality Personality
		day         []string
		failed      []string
	}{
		{
			// Both at once, so in either order.
			Personality{Containerd, NoMultus},
			[]string{one, two, "DEL net1 netns", "DEL net2 netns"},
			[]string{one, two, "DEL net1 netns", "DEL net2 netns"},
		},
		{
			Personality{CRIO, NoMultus},
			[]string{one, two, "CHECK net1 netns", "CHECK net2 netns", "DEL net1 netns", "DEL net2 netns"},
			[]string{one, "DEL net1 netns", "DEL net2 netns"},
		},
		{
			// Multus cleans up, and removes no cache; then the runtime's DEL.
			Personality{Containerd, MultusThin},
			[]string{one, two, "DEL net2 netns", "DEL net1 netns"},
			[]string{one, "DEL net1 netns", "DEL net2 netns", "DEL net1 netns"},
		},
		{
			Personality{CRIO, MultusThick},
			[]string{one, two, "CHECK net1 netns", "CHECK net2 netns", "DEL net2 netns", "DEL net1 netns"},
			[]string{one, "DEL net1 netns", "DEL net2 netns", "DEL net1 netns"},
		},
	} {
		t.Run(tc.personality.String(), func(t *testing.T) {
			t.Run("day", func(t *testing.T) {
				b := newBench(t, tc.personality)
				s := b.run(b.pod("a"))
				if !s.Ready() {
					t.Error("the sandbox is not ready")
				}
				if err := b.stop(s); err != nil {
					t.Error(err)
				}
				if err := b.host.Runtime.RemovePodSandbox(s.ID); err != nil {
					t.Error(err)
				}
				got := b.calls("begin")
				slices.Sort(got[:2])
				if !slices.Equal(got, tc.day) {
					t.Errorf("calls %q, want %q", got, tc.day)
				}
				b.gone()
			})
			t.Run("ADD fails", func(t *testing.T) {
				b := newBench(t, tc.personality)
				b.plugin("ADD", "fail", "the agent is away")
				// Whatever DEL says then, nobody hears of it.
				b.plugin("DEL", "fail", "the agent is away")
				if _, err := b.host.Runtime.RunPodSandbox(t.Context(), b.pod("a")); err == nil || !strings.Contains(err.Error(), "away") {
					t.Errorf("got %v", err)
				}
				got, want := b.calls("begin"), tc.failed
				if tc.personality.Multus == NoMultus {
					if len(want) == 4 {
						slices.Sort(got[:2])
					}
					want = want[:len(want)-1] // the first DEL that fails ends it
				}
				if !slices.Equal(got, want) {
					t.Errorf("calls %q, want %q", got, want)
				}
				b.gone()
			})
		})
	}
}

// kubelet tries a DEL again that containerd says has failed, unless its text says "not found". CRI-O says nothing.
func TestDELFails(t *testing.T) {
	t.Run("containerd", func(t *testing.T) {
		b := newBench(t, Personality{Containerd, NoMultus})
		s := b.run(b.pod("a"))
		b.plugin("DEL", "fail", "the agent is away")
		for range 2 {
			if err := b.stop(s); err == nil {
				t.Error("StopPodSandbox succeeded")
			}
		}
		b.plugin("DEL", "fail", "claim not found")
		if err := b.stop(s); err != nil {
			t.Errorf("go-cni takes this for success: %v", err)
		}
		if err := b.stop(s); err != nil {
			t.Error(err)
		}
		got := b.calls("begin")[2:]
		if want := []string{"DEL net1 netns", "DEL net1 netns", "DEL net1 netns", "DEL net2 netns"}; !slices.Equal(got, want) {
			t.Errorf("calls %q, want %q", got, want)
		}
	})
	t.Run("CRI-O", func(t *testing.T) {
		b := newBench(t, Personality{CRIO, NoMultus})
		s := b.run(b.pod("a"))
		b.plugin("DEL", "fail", "the agent is away")
		for range 2 {
			if err := b.stop(s); err != nil {
				t.Errorf("CRI-O says that a network has not stopped: %v", err)
			}
		}
		if got := b.calls("begin")[4:]; !slices.Equal(got, []string{"DEL net1 netns"}) {
			t.Errorf("calls %q, want one DEL of one network", got)
		}
		if files, _ := filepath.Glob(filepath.Join(b.host.cache, "results", "*")); len(files) > 0 {
			t.Errorf("results are left: %q", files)
		}
	})
}

// Without its files containerd cannot detach, CRI-O can.
func TestConfsLost(t *testing.T) {
	for _, kind := range []RuntimeKind{Containerd, CRIO} {
		t.Run(string(kind), func(t *testing.T) {
			b := newBench(t, Personality{kind, NoMultus})
			s := b.run(b.pod("a"))
			before := len(b.calls("begin"))
			b.host.Runtime.LoseConfs(true)
			err := b.stop(s)
			if got := len(b.calls("begin")) - before; kind == CRIO && (err != nil || got != 2) || kind == Containerd && (err == nil || got != 0) {
				t.Errorf("%v, %d calls", err, got)
			}
			b.host.Runtime.LoseConfs(false)
			if err := b.stop(s); err != nil {
				t.Error(err)
			}
			b.until("the namespace is gone", func() bool { return len(b.host.Runtime.Namespaces()) == 0 })
		})
	}
}

// A failing CHECK fails the pod under CRI-O.
func TestCHECKFails(t *testing.T) {
	for _, m := range []MultusKind{NoMultus, MultusThin} {
		t.Run(string(m), func(t *testing.T) {
			b := newBench(t, Personality{CRIO, m})
			b.plugin("CHECK", "fail", "no lease")
			if _, err := b.host.Runtime.RunPodSandbox(t.Context(), b.pod("a")); err == nil {
				t.Error("the pod runs")
			}
			if got := b.calls("begin"); got[2] != "CHECK net1 netns" || len(got) != 5 || !strings.HasPrefix(got[3], "DEL") {
				t.Errorf("calls %q", got)
			}
			b.gone()
		})
	}
}

// When time is up the runtime kills what it has started itself, and no more (M23).
func TestDeadline(t *testing.T) {
	for _, tc := range []struct {
		personality Personality
		// finishes: the plugin itself goes on, not just its child; all: the whole ADD does.
		finishes, all bool
	}{
		{Personality{Containerd, NoMultus}, false, false},
		{Personality{Containerd, MultusThin}, true, false},
		{Personality{Containerd, MultusThick}, true, true},
	} {
		t.Run(tc.personality.String(), func(t *testing.T) {
			b := newBench(t, tc.personality)
			b.plugin("ADD", "wait", "")
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if _, err := b.host.Runtime.RunPodSandbox(ctx, b.pod("a")); err == nil || !strings.Contains(err.Error(), "signal: killed") {
				t.Errorf("got %v", err)
			}
			// The DEL has come and gone.
			if got := b.calls("end"); len(got) == 0 || !strings.HasPrefix(got[0], "DEL") {
				t.Errorf("calls that ended: %q", got)
			}
			b.gone()
			b.cure("ADD", "wait")
			adds := func(kind string) int {
				return len(slices.DeleteFunc(b.calls(kind), func(c string) bool { return !strings.HasPrefix(c, "ADD") }))
			}
			b.until("the child ends", func() bool { return adds("child") > 0 })
			if tc.finishes {
				b.until("the plugin ends", func() bool { return adds("end") > 0 })
			}
			if tc.all {
				b.until("all plugins end", func() bool { return adds("end") == 2 })
			}
			b.until("no plugin runs", func() bool { return len(b.host.Plugins()) == 0 })
			if got := adds("end"); !tc.finishes && got != 0 || !tc.all && got > 1 {
				t.Errorf("%d ADDs ended", got)
			}
		})
	}
}

// A DEL that fails by Multus is not repeated with effect (F20, M29): thin Multus has removed its cache, the shim of the thick one
// says success.
func TestDELByMultus(t *testing.T) {
	for name, tc := range map[string]struct {
		thick, podGone, cacheLost, daemonGone bool
		first                                 bool // the first DEL is an error to the runtime
		want                                  []string
	}{
		"thin":                       {first: true, want: []string{"DEL net2", "DEL net1", "DEL net2", "DEL net1"}},
		"thin, pod gone":             {podGone: true, first: true, want: []string{"DEL net2", "DEL net1"}},
		"thin, cache lost":           {cacheLost: true, first: true, want: []string{"DEL net2", "DEL net1", "DEL net2", "DEL net1"}},
		"thin, cache lost, pod gone": {cacheLost: true, podGone: true},
		"thick":                      {thick: true, want: []string{"DEL net2", "DEL net1"}},
		"thick, without daemon":      {thick: true, daemonGone: true},
	} {
		t.Run(name, func(t *testing.T) {
			kind := MultusThin
			if tc.thick {
				kind = MultusThick
			}
			b := newBench(t, Personality{Containerd, kind})
			pod := b.pod("a")
			s := b.run(pod)
			if tc.cacheLost {
				b.host.Runtime.LoseMultusCache(s)
			}
			if tc.podGone {
				if err := b.api.Delete(t.Context(), pod); err != nil {
					t.Fatal(err)
				}
			}
			if tc.daemonGone {
				b.host.Runtime.StopMultus()
			}
			b.plugin("DEL", "fail", "the agent is away")
			if err := b.stop(s); (err != nil) != tc.first {
				t.Errorf("the first DEL: %v", err)
			}
			b.cure("DEL", "fail")
			if err := b.stop(s); err != nil {
				t.Errorf("the second DEL: %v", err)
			}
			got := b.calls("begin")[2:]
			for i := range got {
				got[i] = strings.TrimSuffix(got[i], " netns")
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("calls %q, want %q", got, tc.want)
			}
		})
	}
}

// A runtime that is killed in the midst of an ADD: containerd knows the sandbox afterwards, CRI-O leaves its namespace behind.
func TestRuntimeKilled(t *testing.T) {
	for _, kind := range []RuntimeKind{Containerd, CRIO} {
		t.Run(string(kind), func(t *testing.T) {
			b := newBench(t, Personality{kind, NoMultus})
			b.plugin("ADD", "wait", "")
			done := make(chan error, 1)
			go func() {
				_, err := b.host.Runtime.RunPodSandbox(context.Background(), b.pod("a"))
				done <- err
			}()
			b.until("the plugin runs", func() bool { return len(b.calls("begin")) > 0 })
			b.host.Runtime.Kill()
			if err := <-done; !errors.Is(err, errCallerKilled) {
				t.Errorf("got %v", err)
			}
			if err := b.host.Runtime.StopPodSandbox(t.Context(), "any"); err == nil {
				t.Error("a runtime that was killed has answered")
			}
			if err := b.host.Runtime.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.cure("ADD", "wait")
			known, there := b.host.Runtime.Sandboxes(), b.host.Runtime.Namespaces()
			if len(there) != 1 || len(known) != map[RuntimeKind]int{Containerd: 1, CRIO: 0}[kind] {
				t.Errorf("%s knows %d sandboxes, %d namespaces are there", kind, len(known), len(there))
			}
			if len(known) > 0 && known[0].Ready() {
				t.Error("the sandbox is ready")
			}
		})
	}
}

// CRI-O's GC at its start: a DEL for results of sandboxes that it does not know, then the verb.
func TestCRIOGC(t *testing.T) {
	b := newBench(t, Personality{CRIO, NoMultus})
	b.run(b.pod("stays"))
	lost := b.run(b.pod("lost"))
	lost.set(func(s *PodSandbox) { s.result = false }) // as if it was killed before it had written it down
	b.host.Runtime.Kill()
	before := len(b.calls("begin"))
	if err := b.host.Runtime.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := b.calls("begin")[before:]
	slices.Sort(got)
	if want := []string{"DEL net1 netns", "DEL net2 netns", "GC none", "GC none"}; !slices.Equal(got, want) {
		// The verb has neither container nor interface.
		t.Errorf("calls %q, want %q", got, want)
	}
}

// After a power cut the namespaces are gone, and DEL comes with none.
func TestPowerCut(t *testing.T) {
	for _, p := range []Personality{{Containerd, NoMultus}, {CRIO, MultusThin}} {
		t.Run(p.String(), func(t *testing.T) {
			b := newBench(t, p)
			pod := b.pod("a")
			b.host.Kubelet.Start()
			b.until("the pod runs", func() bool { return b.running(pod) })
			if err := b.host.PowerOff(); err != nil {
				t.Fatal(err)
			}
			if left := b.host.Runtime.Namespaces(); len(left) > 0 || len(b.host.Runtime.Sandboxes()) != 1 {
				t.Errorf("%d namespaces are left", len(left))
			}
			before := len(b.calls("begin"))
			if err := b.host.PowerOn(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.until("the pod has a new sandbox", func() bool {
				all := b.host.Runtime.Of(pod.UID)
				return len(all) == 1 && all[0].Ready()
			})
			got := b.calls("begin")[before:]
			if len(got) < 4 || !strings.HasPrefix(got[0], "DEL net") || !strings.HasSuffix(got[0], " none") || !strings.HasPrefix(got[3], "ADD") {
				t.Errorf("calls %q", got)
			}
			b.host.Kubelet.Stop()
		})
	}
}
