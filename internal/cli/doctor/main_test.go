// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/guard"
	"github.com/macpool/macpool/internal/kubeconfigtest"
)

// The API server of all tests here, with macpool's kinds and policies and without anything that runs.
var (
	server *envtest.Environment
	api    client.Client
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard())
	server = &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "..", "..", "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	config, _, stop, err := kubeconfigtest.Serve(server)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stop()
	if api, err = client.New(config, client.Options{Scheme: cli.NewScheme()}); err != nil {
		fmt.Fprintln(os.Stderr, "making a client:", err)
		return 1
	}
	for _, policy := range guard.Policies() {
		err = errors.Join(err, api.Create(context.Background(), policy.DeepCopy()))
	}
	for _, binding := range guard.Bindings() {
		err = errors.Join(err, api.Create(context.Background(), binding.DeepCopy()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "making the policies:", err)
		return 1
	}
	return m.Run()
}

// brief is for agents that will not report, since there are none.
var brief = watching{every: 20 * time.Millisecond, atMost: 100 * time.Millisecond}

// as runs the command as a user of some groups, and returns its report and its error.
func as(t *testing.T, user string, groups []string, times watching, args ...string) (Report, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := kubeconfigtest.Write(file, server, envtest.User{Name: user, Groups: groups}); err != nil {
		t.Fatal(err)
	}
	flags := genericclioptions.NewConfigFlags(true)
	flags.KubeConfig = &file
	var out bytes.Buffer
	c := command(&cli.Factory{IOStreams: genericiooptions.IOStreams{Out: &out, ErrOut: t.Output()}, Config: flags, Clock: clock.RealClock{}}, times)
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(append(args, "-o", "json"))
	err := c.ExecuteContext(t.Context())
	var r Report
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
	}
	return r, err
}

func admin(t *testing.T, args ...string) (Report, error) {
	t.Helper()
	return as(t, "admin", []string{"system:masters"}, brief, args...)
}

// subject is what a report says of a subject, a line for each finding.
func subject(r Report, name string) []string {
	var lines []string
	for _, s := range r.Subjects {
		for _, f := range s.Findings {
			if s.Name == name {
				lines = append(lines, string(f.Severity)+" "+f.What)
			}
		}
	}
	return lines
}

// What was installed is found as it was installed, policies in force; what is not there is a fault, and the exit status says so.
func TestInstalledKinds(t *testing.T) {
	g := gomega.NewWithT(t)
	g.Eventually(func() []string { // the API server enforces policies some moments after they were made
		r, err := admin(t)
		if !errors.Is(err, cli.ErrFound) {
			t.Errorf("the exit status is %v", err)
		}
		g.Expect(subject(r, "kinds")).To(gomega.BeEmpty())
		g.Expect(subject(r, "manager")).To(gomega.ConsistOf(gomega.ContainSubstring("fault there is no manager")))
		g.Expect(subject(r, "multus")).To(gomega.ContainElement(gomega.ContainSubstring("no Multus")))
		return subject(r, "policies")
	}, time.Minute).Should(gomega.BeEmpty())
}

// A policy that was unbound, or made to fail open, is found on a real API server, which adds defaults to what was written.
func TestPolicyUnbound(t *testing.T) {
	g := gomega.NewWithT(t)
	name := guard.Bindings()[0].Name
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{}
	if err := api.Get(t.Context(), client.ObjectKey{Name: name}, binding); err != nil {
		t.Fatal(err)
	}
	if err := api.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := api.Create(context.Background(), guard.Bindings()[0].DeepCopy()); err != nil {
			t.Error(err)
		}
	})
	r, err := admin(t)
	g.Expect(err).To(gomega.MatchError(cli.ErrFound))
	g.Expect(subject(r, "policies")).To(gomega.ConsistOf(gomega.And(
		gomega.ContainSubstring(guard.Bindings()[0].Spec.PolicyName+" is not in force"), gomega.ContainSubstring("no ValidatingAdmissionPolicyBinding"))))
}

// What a person may not read is not checked, and never good; there is no fault in it either.
func TestNoRights(t *testing.T) {
	r, err := as(t, "nobody", nil, brief)
	if err != nil {
		t.Errorf("the exit status is %v", err)
	}
	for _, s := range r.Subjects {
		if s.count(Unchecked) == 0 || s.count(Fault) != 0 {
			t.Errorf("%s: %+v", s.Name, s.Findings)
		}
	}
}

// An agent that is silent is told from one whose clock is off by watching them, a stale lease by two readings; --node leaves the rest out.
func TestNodeAndLease(t *testing.T) {
	g := gomega.NewWithT(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "doctor-1"}}
	report := &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: node.Name}}
	lease := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: "vlan-50.192.168.50.8"}, Spec: v1alpha1.MacLeaseSpec{
		PoolName: "iot", MAC: "02:32:00:a8:32:08", IPs: []v1alpha1.IPAddress{"192.168.50.8"}, LeasedAt: metav1.Now(),
		ClaimRef: v1alpha1.ClaimRef{Namespace: "home", Name: "gone", UID: "gone"},
	}}
	for _, object := range []client.Object{node, report, lease} {
		if err := api.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := api.Delete(context.Background(), object); err != nil {
				t.Error(err)
			}
		})
	}
	renew := func() error {
		report.Status.RenewTime = metav1.NewMicroTime(time.Now().Add(time.Hour))
		return api.Status().Update(t.Context(), report)
	}
	if err := renew(); err != nil {
		t.Fatal(err)
	}
	r, err := admin(t)
	g.Expect(err).To(gomega.MatchError(cli.ErrFound))
	g.Expect(subject(r, "agents")).To(gomega.ConsistOf(gomega.ContainSubstring("fault node doctor-1 has no agent")))
	g.Expect(subject(r, "leases")).To(gomega.ConsistOf(gomega.ContainSubstring("fault lease vlan-50.192.168.50.8 is stale")))

	stop, done := make(chan struct{}), make(chan error)
	go func() { // an agent, whose clock is an hour ahead
		for {
			select {
			case <-stop:
				done <- nil
				return
			case <-time.After(50 * time.Millisecond):
			}
			if err := renew(); err != nil {
				done <- err
				return
			}
		}
	}()
	r, err = as(t, "admin", []string{"system:masters"}, watching{every: 50 * time.Millisecond, atMost: time.Minute}, "--node", node.Name)
	close(stop)
	g.Expect(<-done).To(gomega.Succeed())
	g.Expect(err).To(gomega.MatchError(cli.ErrFound)) // there is no Multus
	g.Expect(subject(r, "clocks")).To(gomega.ConsistOf(gomega.MatchRegexp("hint the clock of node doctor-1 is (1h|59m5).* ahead of")))
	g.Expect(subject(r, "agents")).To(gomega.ConsistOf(gomega.ContainSubstring("unchecked node doctor-1 reports, but by no pod")))
	if slices.ContainsFunc(r.Subjects, func(s Subject) bool { return s.Name == "leases" }) {
		t.Error("--node looks at leases")
	}
	if _, err = admin(t, "--node", "none"); err == nil || !strings.Contains(err.Error(), `no node "none"`) {
		t.Errorf("of a node that does not exist: %v", err)
	}
}

// A role that may read some of it has that much checked.
func TestSomeRights(t *testing.T) {
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "doctor-reader"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"macpool.dev"}, Resources: []string{"*"}, Verbs: []string{"list"}},
	}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "reader"}},
	}
	for _, object := range []client.Object{role, binding} {
		if err := api.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	gomega.NewWithT(t).Eventually(func() []string {
		r, _ := as(t, "reader", nil, brief)
		return append(subject(r, "pools"), subject(r, "claims")...)
	}, time.Minute).Should(gomega.BeEmpty())
}
