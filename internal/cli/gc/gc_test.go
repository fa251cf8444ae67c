// SPDX-License-Identifier: Apache-2.0

package gc

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/cli/clitest"
)

// now is the clock of the command: nothing here runs by itself.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func command(t *testing.T, answer string, args ...string) (o *options, out, said *bytes.Buffer) {
	t.Helper()
	streams, in, out, said := genericiooptions.NewTestIOStreams()
	in.WriteString(answer)
	f := cli.NewFactory(streams)
	f.Config.KubeConfig, f.Config.Namespace = &api.Kubeconfig, new("gc")
	f.Clock = clocktesting.NewFakeClock(now)
	o = &options{Factory: f}
	c := &cobra.Command{}
	o.addFlags(c)
	clitest.Must(t, c.ParseFlags(args))
	return o, out, said
}

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// claim makes a claim that macpool made for an ordinal of StatefulSet db, with its lease; change is what became of it.
func claim(t *testing.T, ordinal int32, ip, mac string, change func(*v1alpha1.MacClaim)) *v1alpha1.MacClaim {
	t.Helper()
	name := fmt.Sprintf("db-%d.iot.net1", ordinal)
	c := &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gc", Name: name, Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		Spec: v1alpha1.MacClaimSpec{
			PoolRef:  v1alpha1.PoolRef{Name: "iot"},
			Workload: &v1alpha1.Workload{Kind: v1alpha1.WorkloadStatefulSet, Name: "db", Ordinal: &ordinal, Interface: "net1"},
		},
	}
	clitest.Must(t, api.Create(t.Context(), c))
	lease(t, ip, mac, c, func(*v1alpha1.MacLeaseSpec) {})
	c.Status = v1alpha1.MacClaimStatus{LeaseName: "vlan-50." + ip, MAC: mac, IPs: []string{ip}}
	change(c)
	clitest.Must(t, api.Status().Update(t.Context(), c))
	return c
}

func lease(t *testing.T, ip, mac string, c *v1alpha1.MacClaim, change func(*v1alpha1.MacLeaseSpec)) {
	t.Helper()
	l := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: "vlan-50." + ip}, Spec: v1alpha1.MacLeaseSpec{
		PoolName: "iot", MAC: v1alpha1.MACAddress(mac), IPs: []v1alpha1.IPAddress{v1alpha1.IPAddress(ip)}, LeasedAt: metav1.Now(),
		ClaimRef: v1alpha1.ClaimRef{Namespace: c.Namespace, Name: c.Name, UID: c.UID},
	}}
	change(&l.Spec)
	clitest.Must(t, api.Create(t.Context(), l))
}

func condition(kind, reason, message string, since metav1.Time) metav1.Condition {
	return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: since}
}

// TestGC: what the manager will release or forget is shown, with its time; and only ended claims are deleted, when somebody agrees, and as they
// were shown. What is held or suspect is not touched (I2).
func TestGC(t *testing.T) {
	for _, ns := range []string{"gc", "elsewhere"} {
		clitest.Must(t, api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}))
	}
	pool := &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: "iot"}, Spec: v1alpha1.MacPoolSpec{
		VLAN: ptr.To[int32](50), Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24"}},
	}}
	clitest.Must(t, api.Create(t.Context(), pool))
	pool.Status.Conditions = []metav1.Condition{condition(v1alpha1.PoolReleasesPaused, v1alpha1.PoolReasonTooMany, "12 releases are due at once", ago(time.Minute))}
	clitest.Must(t, api.Status().Update(t.Context(), pool))

	gone := condition(v1alpha1.ClaimEnded, v1alpha1.ClaimReasonWorkloadGone, "The workload is gone", ago(20*time.Minute))
	done := claim(t, 0, "192.168.50.10", "02:32:00:a8:32:0a", func(c *v1alpha1.MacClaim) { c.Status.Conditions = []metav1.Condition{gone} })
	holder := &v1alpha1.Holder{PodName: "db-1", PodUID: "uid", NodeName: "n1", Interface: "net1", Generation: 1, Since: ago(time.Hour)}
	held := claim(t, 1, "192.168.50.11", "02:32:00:a8:32:0b", func(c *v1alpha1.MacClaim) {
		c.Status.Holder, c.Status.Generation = holder, 1
		c.Status.Conditions = []metav1.Condition{gone, condition(v1alpha1.ClaimSuspect, v1alpha1.ClaimReasonNodeSilent, "Pod db-1 is gone from the API, and its node does not answer", ago(time.Minute))}
	})
	back := claim(t, 2, "192.168.50.12", "02:32:00:a8:32:0c", func(c *v1alpha1.MacClaim) { c.Status.Conditions = []metav1.Condition{gone} })
	lives := claim(t, 3, "192.168.50.13", "02:32:00:a8:32:0d", func(*v1alpha1.MacClaim) {})
	ofPerson := claim(t, 4, "192.168.50.14", "02:32:00:a8:32:0e", func(c *v1alpha1.MacClaim) { c.Status.Conditions = []metav1.Condition{gone} })
	ofPerson.Labels = nil
	clitest.Must(t, api.Update(t.Context(), ofPerson))
	old := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "gc", Name: "old", UID: "old"}}
	lease(t, "192.168.50.20", "02:32:00:a8:32:14", old, func(s *v1alpha1.MacLeaseSpec) { s.ReleasedAt = new(ago(20 * time.Second)) })
	lease(t, "192.168.50.21", "02:32:00:a8:32:15", old, func(s *v1alpha1.MacLeaseSpec) {
		s.ReleasedAt, s.ReusableAt = new(ago(24*time.Hour)), new(ago(23*time.Hour))
	})
	lease(t, "192.168.50.22", "02:32:00:a8:32:16", old, func(s *v1alpha1.MacLeaseSpec) {
		s.Conflict = &v1alpha1.Conflict{MAC: "00:11:22:33:44:55", NodeName: "n1", SeenAt: ago(4 * time.Minute)}
	})
	far := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "far", UID: "far"}}
	lease(t, "192.168.50.30", "02:32:00:a8:32:1e", far, func(s *v1alpha1.MacLeaseSpec) { s.ReleasedAt = new(ago(time.Hour)) })

	for name, args := range map[string][]string{"all": {"--dry-run", "-A"}, "wide": {"--dry-run", "-o", "wide"}, "json": {"--dry-run", "-o", "json"}, "name": {"--dry-run", "-o", "name"}} {
		o, out, said := command(t, "y\n", args...)
		clitest.Must(t, o.run(t.Context()))
		clitest.Golden(t, name, out.String())
		if said.Len() > 0 {
			t.Errorf("%s says %s", name, said)
		}
	}

	exists := func(c *v1alpha1.MacClaim, want bool) {
		t.Helper()
		err := api.Get(t.Context(), client.ObjectKeyFromObject(c), &v1alpha1.MacClaim{})
		if apierrors.IsNotFound(err) == want || client.IgnoreNotFound(err) != nil {
			t.Errorf("claim %s exists: %t (%v), want %t", c.Name, !want, err, want)
		}
	}
	all := []*v1alpha1.MacClaim{done, held, back, lives, ofPerson}
	for _, answer := range []string{"", "n\n", "what\n"} {
		o, _, said := command(t, answer)
		clitest.Must(t, o.run(t.Context()))
		if !strings.Contains(said.String(), "Delete these 2 ended claims?") || !strings.Contains(said.String(), "Nothing was deleted") {
			t.Errorf("on %q it says %s", answer, said)
		}
		for _, c := range all {
			exists(c, true)
		}
	}

	// While the person thinks, a pod of db-2 comes back.
	o, _, said := command(t, "")
	o.In = &thinking{text: "yes\n", meanwhile: func() {
		c := &v1alpha1.MacClaim{}
		clitest.Must(t, api.Get(t.Context(), client.ObjectKeyFromObject(back), c))
		c.Status.Holder, c.Status.Generation, c.Status.Conditions = holder, 1, nil
		clitest.Must(t, api.Status().Update(context.WithoutCancel(t.Context()), c))
	}}
	clitest.Must(t, o.run(t.Context()))
	for _, part := range []string{"claim gc/db-0.iot.net1 deleted", "claim gc/db-2.iot.net1 was written since, and is left alone"} {
		if !strings.Contains(said.String(), part) {
			t.Errorf("it says %s, want %q", said, part)
		}
	}
	exists(done, false)
	for _, c := range all[1:] {
		exists(c, true)
	}
	o, _, said = command(t, "", "--yes")
	clitest.Must(t, o.run(t.Context()))
	if got := said.String(); got != "There is no ended claim to delete.\n" {
		t.Errorf("with nothing to delete it says %s", got)
	}
}

// thinking is a person who answers after something has happened.
type thinking struct {
	text      string
	meanwhile func()
}

func (p *thinking) Read(b []byte) (int, error) {
	p.meanwhile()
	return copy(b, p.text), nil
}
