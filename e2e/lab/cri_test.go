// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// fakePlugin says what it was called for, and does what the files beside it tell it: COMMAND.fail has an error's text,
// COMMAND.wait holds it up until it is gone. As macvlan has an IPAM plugin, it has a child of its own that does the waiting.
const fakePlugin = `#!/bin/sh
cat >/dev/null
dir=%s
say() { echo "$1 $CNI_COMMAND $(echo $CNI_CONTAINERID | cut -c1-4) $CNI_IFNAME ${CNI_NETNS:-none}" >>$dir/log; }
[ "$CNI_COMMAND" = VERSION ] && { echo '{"cniVersion":"1.1.0","supportedVersions":["0.4.0","1.0.0","1.1.0"]}'; exit 0; }
say begin
(while [ -e $dir/$CNI_COMMAND.wait ]; do sleep 0.02; done; say child) >/dev/null 2>&1
if [ -e $dir/$CNI_COMMAND.fail ]; then
	say fail
	echo "{\"cniVersion\":\"1.0.0\",\"code\":11,\"msg\":\"$(cat $dir/$CNI_COMMAND.fail)\"}"
	exit 1
fi
say end
[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1/24"}]}'
exit 0
`

// bench is a node with a runtime, whose networks are all of the fake plugin.
type bench struct {
	*testing.T

	host *Host
	dir  string // of the plugin and its files
	api  client.WithWatch
}

func newBench(t *testing.T, p Personality) *bench {
	t.Helper()
	b := &bench{T: t, dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(b.dir, "fake"), fmt.Appendf(nil, fakePlugin, b.dir), 0o700); err != nil {
		t.Fatal(err)
	}
	scheme := k8sruntime.NewScheme()
	for _, add := range []func(*k8sruntime.Scheme) error{clientgoscheme.AddToScheme, nadv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	nodeName := func(o client.Object) []string {
		pod, _ := o.(*corev1.Pod)
		return []string{pod.Spec.NodeName}
	}
	b.api = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&corev1.Pod{}).
		WithIndex(&corev1.Pod{}, "spec.nodeName", nodeName).Build()
	for _, name := range []string{"one", "two"} {
		nad := &nadv1.NetworkAttachmentDefinition{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec: nadv1.NetworkAttachmentDefinitionSpec{
				Config: fmt.Sprintf(`{"cniVersion": "1.1.0", "name": %q, "plugins": [{"type": "fake"}]}`, name),
			},
		}
		if err := b.api.Create(t.Context(), nad); err != nil {
			t.Fatal(err)
		}
	}
	l := newWires(t, BackendPlain, "node-a")
	l.opts.Bin, l.Client = b.dir, b.api
	n := l.Nodes[0]
	var err error
	if n.API, err = newRelay(t.Context(), n.ns, netip.MustParseAddr("127.0.0.1"), "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	b.host = &Host{Node: n, Runtime: n.NewCRI(p)}
	b.host.Kubelet = &Kubelet{Runtime: b.host.Runtime, Scale: 100, node: n, client: b.api}
	t.Cleanup(func() {
		n.KillPlugins()
		for _, s := range b.host.Runtime.Namespaces() {
			if err := s.destroy(); err != nil {
				t.Error(err)
			}
		}
		if err := os.RemoveAll(n.dir); err != nil {
			t.Error(err)
		}
	})
	return b
}

// pod creates a pod with both networks.
func (b *bench) pod(name string) *corev1.Pod {
	b.Helper()
	pod := NewPod("default", name, "one,two")
	pod.UID, pod.Spec.NodeName = types.UID("uid-of-"+name), b.host.Name
	if err := b.api.Create(b.Context(), pod); err != nil {
		b.Fatal(err)
	}
	return pod
}

// plugin makes the plugin fail, or wait, when it is called for a command; by nothing, it does neither.
func (b *bench) plugin(command, how, text string) {
	b.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, command+"."+how), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) cure(command, how string) {
	b.Helper()
	if err := os.Remove(filepath.Join(b.dir, command+"."+how)); err != nil {
		b.Fatal(err)
	}
}

var containerID = regexp.MustCompile(` [0-9a-f]{4} `)

// calls is what the plugin has said, in order, without container ids; of kinds only, such as begin.
func (b *bench) calls(kind string) []string {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "log"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		if what, call, ok := strings.Cut(strings.TrimSpace(line), " "); ok && what == kind {
			fields := strings.Fields(containerID.ReplaceAllString(call, " "))
			if last := len(fields) - 1; fields[last] != "none" {
				fields[last] = "netns"
			}
			all = append(all, strings.Join(fields, " "))
		}
	}
	return all
}

// until polls.
func (b *bench) until(what string, ok func() bool) {
	b.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("waiting until %s; calls: %q", what, b.calls("begin"))
		}
	}
}

func (b *bench) run(pod *corev1.Pod) *PodSandbox {
	b.Helper()
	s, err := b.host.Runtime.RunPodSandbox(b.Context(), pod)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// gone fails unless nothing is left of a sandbox.
func (b *bench) gone() {
	b.Helper()
	if left := b.host.Runtime.Sandboxes(); len(left) > 0 {
		b.Errorf("the runtime still knows %d sandboxes", len(left))
	}
	if left := b.host.Runtime.Namespaces(); len(left) > 0 {
		b.Errorf("%d network namespaces are left", len(left))
	}
}

func (b *bench) stop(s *PodSandbox) error {
	return b.host.Runtime.StopPodSandbox(b.Context(), s.ID)
}

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

func (b *bench) running(pod *corev1.Pod) bool {
	got := &corev1.Pod{}
	return b.api.Get(b.Context(), client.ObjectKeyFromObject(pod), got) == nil && got.Status.Phase == corev1.PodRunning
}

// kubelet tries again with another sandbox; it takes pods down that are deleted, by force or not, or finished; and it gives a pod
// whose sandbox has crashed another one.
func TestKubelet(t *testing.T) {
	b := newBench(t, Personality{Containerd, NoMultus})
	b.plugin("ADD", "fail", "the agent is away")
	// The client's watch begins when it is asked for, and not where the list was: what is made in between is not seen.
	pod := b.pod("a")
	b.host.Kubelet.Start()
	defer b.host.Kubelet.Stop()
	b.until("two tries failed", func() bool { return len(b.calls("fail")) >= 4 })
	b.cure("ADD", "fail")
	b.until("the pod runs", func() bool { return b.running(pod) })
	first := b.host.Runtime.Of(pod.UID)[0].ID

	if !b.host.Kubelet.Restart(pod.UID) {
		t.Error("there was no sandbox")
	}
	b.until("the pod has another sandbox", func() bool {
		all := b.host.Runtime.Of(pod.UID)
		return len(all) == 1 && all[0].ID != first && all[0].Ready()
	})
	// By force.
	if err := b.api.Delete(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	b.until("its sandbox is gone", func() bool { return len(b.host.Runtime.Namespaces()) == 0 })

	done := b.pod("done")
	b.until("the pod runs", func() bool { return b.running(done) })
	b.host.Kubelet.Finish(done.UID)
	b.until("its sandbox is gone", func() bool { return len(b.host.Runtime.Namespaces()) == 0 })
	if err := b.api.Get(t.Context(), client.ObjectKeyFromObject(done), done); err != nil || done.Status.Phase != corev1.PodSucceeded {
		t.Errorf("a finished pod stays, and says so: %v, %v", done.Status.Phase, err)
	}

	// Cut off, it hears of nothing.
	last := b.pod("last")
	b.until("the pod runs", func() bool { return b.running(last) })
	b.host.API.Cut()
	if err := b.api.Delete(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	b.until("it has lost its watch", func() bool { return !b.host.API.open() })
	before := len(b.calls("begin"))
	time.Sleep(200 * time.Millisecond)
	if got := b.calls("begin")[before:]; len(got) > 0 {
		t.Errorf("a kubelet that was cut off has heard of a deletion: %q", got)
	}
	b.host.API.Heal()
	b.until("its sandbox is gone", func() bool { return len(b.host.Runtime.Namespaces()) == 0 })
}
