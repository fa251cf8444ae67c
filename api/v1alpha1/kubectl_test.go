// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/macpool/macpool/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files")

// kubectl runs the real one against the API server of the tests, and returns what it prints.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), append(args, "--kubeconfig", kubeconfig)...)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// age is a time that has passed, with what fills its column.
var age = regexp.MustCompile(`\b\d+s( *)`)

// TestKubectlIsEnough reads the VLAN with the short names, as an audit, and waits for what is ready.
func TestKubectlIsEnough(t *testing.T) {
	marked := map[string]string{"test": "audit"}
	const namespace = "audited-home"
	mustCreate(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	pool := validPool()
	pool.Name, pool.Labels = "audited", marked
	mustCreate(t, pool)
	pool.Status = v1alpha1.MacPoolStatus{
		Segment: "vlan-50", MACPrefix: "02:32:00", Capacity: ptr.To[int64](82), Leased: ptr.To[int64](1), Cooling: ptr.To[int64](0), Conflicted: ptr.To[int64](1),
		Available: ptr.To[int64](80),
		Conditions: []metav1.Condition{{
			Type: v1alpha1.PoolReady, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonValid, LastTransitionTime: metav1.Now(),
		}},
	}
	claim := validClaim(namespace)
	claim.Name, claim.Labels = "home-assistant", marked
	mustCreate(t, claim)
	hold(t, claim, "node-a")
	lease := validLease()
	lease.Name, lease.Labels = "audited.192.168.50.8", marked
	lease.Spec.NodeName = "node-a"
	mustCreate(t, lease)
	node := &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: "audited-node", Labels: marked}}
	mustCreate(t, node)
	if err := api.Status().Update(t.Context(), pool); err != nil {
		t.Fatal(err)
	}

	got := kubectl(t, "get", "mp,mc,ml,mn", "-A", "-l", "test=audit")
	got = age.ReplaceAllStringFunc(got, func(s string) string { return "0s" + strings.Repeat(" ", len(s)-2) })
	got = regexp.MustCompile(`(?m) +$`).ReplaceAllString(got, "")
	const golden = "testdata/audit.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("kubectl get mp,mc,ml,mn (-want +got; -update writes it):\n%s", diff)
	}
	for _, what := range []string{"mp/" + pool.Name, "mc/" + claim.Name} {
		if out := kubectl(t, "wait", "--for=condition=Ready", what, "-n", namespace, "--timeout=10s"); !strings.Contains(out, "condition met") {
			t.Errorf("kubectl wait %s: %s", what, out)
		}
	}
}

// TestKubectlExplain has kubectl know every field of every kind, and what it means. What has no description is printed as such.
func TestKubectlExplain(t *testing.T) {
	for kind, plural := range map[string]string{"mp": "macpools", "mc": "macclaims", "ml": "macleases", "mn": "macnodes"} {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		text, err := os.ReadFile(filepath.Join(crds, "macpool.dev_"+plural+".yaml"))
		if err == nil {
			err = yaml.UnmarshalStrict(text, crd)
		}
		if err != nil {
			t.Fatal(err)
		}
		if out := kubectl(t, "explain", kind, "--recursive"); !strings.Contains(out, crd.Spec.Names.Kind) {
			t.Errorf("kubectl explain %s:\n%s", kind, out)
		}
		for name, schema := range crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties {
			if name != "spec" && name != "status" {
				continue
			}
			out := kubectl(t, "explain", kind+"."+name)
			if strings.Contains(out, "<no description>") {
				t.Errorf("a field has no description:\n%s", out)
			}
			for field := range schema.Properties {
				if !regexp.MustCompile(`(?m)^  ` + field + `\t`).MatchString(out) {
					t.Errorf("kubectl explain %s.%s does not know %s", kind, name, field)
				}
			}
		}
	}
}
