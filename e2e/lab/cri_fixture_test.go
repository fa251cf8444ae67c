// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
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

func (b *bench) running(pod *corev1.Pod) bool {
	got := &corev1.Pod{}
	return b.api.Get(b.Context(), client.ObjectKeyFromObject(pod), got) == nil && got.Status.Phase == corev1.PodRunning
}
