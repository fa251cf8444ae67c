// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	testclock "k8s.io/utils/clock/testing"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/docs"
	"github.com/macpool/macpool/internal/cli/root"
)

// lines are what was written, a line each. Safe for concurrent use.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// of are the audit records of an event about a lease, in order.
func (l *lines) of(t *testing.T, event, lease string) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var records []map[string]any
	for line := range strings.Lines(l.text.String()) {
		record := map[string]any{}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if record["event"] == event && record["lease"] == lease {
			records = append(records, record)
		}
	}
	return records
}

// One address, three claims after one another that end in different ways. The lease tells who had it, from when to when, on which node
// and on what evidence it was given back, until spec.history is over; the audit tells the same for ever (R-O2).
func TestHistoryOfAnAddress(t *testing.T) {
	w := newWorld(t)
	now := testclock.NewFakePassiveClock(time.Now().Truncate(time.Second))
	out := &lines{}
	w.startManager(managerOptions{clock: now, audit: out})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.100"), cooling(0, time.Hour))
	w.network(ns, "iot", pool.Name)
	nodes := []*corev1.Node{w.node("node-1"), w.node("node-2")}
	name := pool.Spec.Segment + ".192.168.50.100"
	looked := 0
	look := func() { // the manager does not know that its clock was moved
		looked++
		change(w, w.lease(name), func(l *v1alpha1.MacLease) { l.Annotations = map[string]string{"looked": strconv.Itoa(looked)} })
	}
	reusable := func() {
		w.eventually(func(g gomega.Gomega) {
			now.SetTime(now.Now().Add(11 * time.Minute))
			look()
			g.Expect(w.lease(name).Spec.ReusableAt).NotTo(gomega.BeNil())
		})
	}
	begin := func(pod string, node *corev1.Node) *hold {
		h := &hold{world: w, ns: ns, pool: pool, node: node, pod: w.pod(ns, pod, "iot", on(node.Name))}
		h.claim = w.held(w.bound(ns, pod+"."+pool.Name+".net1"), h.pod)
		now.SetTime(now.Now().Add(time.Minute))
		return h
	}

	first := begin("camera", nodes[0])
	w.remove(first.pod)
	w.detach(first.now())
	w.released(name)
	reusable()

	second := begin("door", nodes[1])
	w.remove(second.pod)
	w.ready(nodes[1], corev1.ConditionUnknown)
	second.suspected(v1alpha1.ClaimReasonNodeSilent)
	w.fence(nodes[1])
	w.eventually(func(g gomega.Gomega) {
		now.SetTime(now.Now().Add(time.Second))
		change(w, nodes[1], func(n *corev1.Node) { n.Labels = map[string]string{"at": strconv.Itoa(int(now.Now().Unix()))} })
		g.Expect(w.lease(name).Spec.ReleasedAt).NotTo(gomega.BeNil())
	})
	reusable()

	third := begin("lock", nodes[0])
	third.force("sold")
	third.ended()
	w.remove(third.pod)
	w.eventually(func(g gomega.Gomega) { g.Expect(w.lease(name).Spec.ReleasedAt).NotTo(gomega.BeNil()) })

	type entry struct {
		claim, pod, node string
		reason           v1alpha1.EndReason
	}
	var got []entry
	past := w.lease(name).Spec.History
	for i, h := range past {
		got = append(got, entry{h.Claim, h.PodName, h.NodeName, h.Reason})
		if h.Namespace != ns || h.Evidence == "" || h.To.Before(&h.From) || h.To.Equal(&h.From) {
			t.Errorf("entry %d: %+v", i, h)
		}
		if i > 0 && h.To.After(past[i-1].From.Time) {
			t.Errorf("entry %d ended after the next began: %+v", i, h)
		}
	}
	want := []entry{
		{third.claim.Name, "lock", "node-1", v1alpha1.EndForced},
		{second.claim.Name, "door", "node-2", v1alpha1.EndOutOfService},
		{first.claim.Name, "camera", "node-1", v1alpha1.EndAgentReport},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
		t.Error(diff)
	}

	// Every release has its line, with the same evidence.
	released := out.of(t, "released", name)
	slices.Reverse(released)
	for i, record := range released {
		text, _ := record["since"].(string)
		since, err := time.Parse(time.RFC3339, text)
		if err != nil || record["evidence"] != past[i].Evidence || record["reason"] != string(past[i].Reason) || !since.Equal(past[i].From.Time) {
			t.Errorf("audit line %v, history %+v, %v", record, past[i], err)
		}
	}
	if n := len(released); n != len(past) {
		t.Errorf("%d releases were written down, want %d", n, len(past))
	}
	if held := out.of(t, "held", name); len(held) != 3 || held[1]["pod"] != "door" || held[1]["node"] != "node-2" {
		t.Errorf("held were %v", held)
	}

	// It survives until its time is over, and that is written down too.
	reusable()
	w.never("the record went before its time", func() bool { return w.lease(name) == nil })
	last := w.lease(name)
	now.SetTime(last.Spec.ReleasedAt.Add(time.Hour))
	look()
	w.gone(&v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: name}})
	w.eventually(func(g gomega.Gomega) {
		g.Expect(out.of(t, "forgotten", name)).To(gomega.HaveLen(1))
		g.Expect(out.of(t, "reusable", name)).To(gomega.HaveLen(3))
	})
}

// The page about history is followed, command by command.
func TestHistoryPage(t *testing.T) {
	w := newWorld(t)
	out := &lines{}
	w.startManager(managerOptions{audit: out})
	home := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "home"}}
	w.create(home)
	pool := w.pool("192.168.50.0/24", ranged("192.168.50.8", "192.168.50.8"), cooling(0, time.Hour), func(p *v1alpha1.MacPool) {
		p.Name, p.Spec.Segment = "iot", ""
	})
	w.network(home.Name, "iot", pool.Name)
	node := w.node("node-1")
	camera := w.pod(home.Name, "camera", "iot", on(node.Name))
	h := &hold{world: w, ns: home.Name, pool: pool, node: node, pod: camera, claim: w.held(w.bound(home.Name, "camera.iot.net1"), camera)}
	w.remove(camera)
	w.detach(h.now())
	w.released(h.claim.Status.LeaseName)
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.lease(h.claim.Status.LeaseName).Spec.ReusableAt).NotTo(gomega.BeNil())
	})
	set := w.statefulSet(home.Name)
	for range 2 {
		h.pod = w.pod(home.Name, "db-0", "iot", ownedBy(set), on(node.Name))
		h.claim = w.held(w.bound(home.Name, "db-0.iot.net1"), h.pod)
		w.remove(h.pod)
		if len(h.claim.Status.PreviousHolders) == 0 {
			w.detach(h.claim)
		}
	}
	w.ready(node, corev1.ConditionUnknown)
	h.suspected(v1alpha1.ClaimReasonNodeSilent)
	other := w.strayLeaseAt(pool, "192.168.50.9", &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: home.Name, Name: "old", UID: "0-0"}})
	released := metav1.Now()
	change(w, other, func(l *v1alpha1.MacLease) {
		l.Spec.ReleasedAt = &released
		l.Spec.History = []v1alpha1.LeaseHistory{{Namespace: home.Name, Claim: "old", From: l.Spec.LeasedAt, To: released, Reason: v1alpha1.EndForced}}
	})

	scripts, err := docs.Scripts(filepath.Join("..", "docs", "history.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"pod home/db-0 on node node-1", "not known: the record goes back to", "camera.iot.net1", string(h.pod.UID),
		"db-0.iot.net1", "home/camera.iot.net1  camera  node-1  AgentReport: ", "vlan-50.192.168.50.8", "db-0  " + string(h.pod.UID) + "  node-1",
		"vlan-50.192.168.50.9", "home/db-0.iot.net1  pod db-0",
	}
	if len(scripts) != len(want) {
		t.Fatalf("the page has %d commands, want %d", len(scripts), len(want))
	}
	for i, script := range scripts {
		got, err := w.shell(script.Text)
		if err != nil || !strings.Contains(got, want[i]) {
			t.Errorf("%s\nprinted %q, %v; want %q in it", script.Text, got, err, want[i])
		}
		t.Logf("%s\n%s", script.Text, got)
	}
	w.fence(node)
	h.ended()
	for _, event := range []string{"leased", "held", "unheld", "released", "reusable"} {
		w.eventually(func(g gomega.Gomega) { // a line comes after the write that it is about
			g.Expect(out.of(t, event, "vlan-50.192.168.50.8")).NotTo(gomega.BeEmpty(), "no line says %q", event)
		})
	}
}

// shell runs a command of a page, as an administrator with kubectl.
func (w *world) shell(command string) (string, error) {
	w.t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: w.api.admin.Host, CertificateAuthorityData: w.api.admin.CAData}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{ClientCertificateData: w.api.admin.CertData, ClientKeyData: w.api.admin.KeyData}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "admin"}
	config.CurrentContext = "test"
	file := filepath.Join(w.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		return "", err
	}
	if args, ok := strings.CutPrefix(command, "kubectl macpool "); ok { // kubectl would look for the program on the path
		var out strings.Builder
		streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &out}
		plugin := root.New(streams)
		plugin.SetArgs(append([]string{"--kubeconfig", file}, strings.Fields(args)...))
		plugin.SetContext(w.t.Context())
		if status := root.Execute(plugin, streams); status != 0 {
			return out.String(), fmt.Errorf("exit status %d", status)
		}
		return out.String(), nil
	}
	cmd := exec.CommandContext(w.t.Context(), "sh", "-c", command)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+file, "PATH="+os.Getenv("KUBEBUILDER_ASSETS")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}
