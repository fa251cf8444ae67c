// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/macpool/macpool/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files")

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var object T
	if err := yaml.UnmarshalStrict([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	return object
}

// cluster reads an inventory from a file of objects.
func cluster(t *testing.T, file string) *inventory {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	inv := &inventory{}
	var (
		deployments  []appsv1.Deployment
		statefulSets []appsv1.StatefulSet
		daemonSets   []appsv1.DaemonSet
		cronJobs     []batchv1.CronJob
		records      []unstructured.Unstructured
	)
	for document := range strings.SplitSeq(string(text), "---\n") {
		switch kind := decode[unstructured.Unstructured](t, document); kind.GetKind() {
		case "NetworkAttachmentDefinition":
			inv.networks = append(inv.networks, decode[nadv1.NetworkAttachmentDefinition](t, document))
		case "Pod":
			inv.pods = append(inv.pods, decode[corev1.Pod](t, document))
		case "Deployment":
			deployments = append(deployments, decode[appsv1.Deployment](t, document))
		case "StatefulSet":
			statefulSets = append(statefulSets, decode[appsv1.StatefulSet](t, document))
		case "DaemonSet":
			daemonSets = append(daemonSets, decode[appsv1.DaemonSet](t, document))
		case "CronJob":
			cronJobs = append(cronJobs, decode[batchv1.CronJob](t, document))
		case "MacPool":
			inv.pools = append(inv.pools, decode[v1alpha1.MacPool](t, document))
		case "MacClaim":
			inv.claims = append(inv.claims, decode[v1alpha1.MacClaim](t, document))
		case "IPPool", "OverlappingRangeIPReservation":
			records = append(records, kind)
		default:
			t.Fatalf("%s: a %q", file, kind.GetKind())
		}
	}
	inv.templates = templatesOf(deployments, statefulSets, daemonSets, cronJobs)
	if inv.allocations, err = recorded(records); err != nil {
		t.Fatal(err)
	}
	return inv
}

// TestPlan compares what is said and made of whole clusters with what it was. Each is adopted twice: with the claims of the first time
// nothing is to be made, and what stood in the way still does.
func TestPlan(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			inv := cluster(t, file)
			p, err := newPlan(inv, options{})
			if err != nil {
				t.Fatal(err)
			}
			got := show(t, p)
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-update writes it (-want +got):\n%s", diff)
			}

			for _, pool := range p.pools {
				inv.pools = append(inv.pools, *pool)
			}
			for _, claim := range p.claims {
				inv.claims = append(inv.claims, *claim)
			}
			again, err := newPlan(inv, options{})
			if err != nil {
				t.Fatal(err)
			}
			if n := len(again.objects()); n != 0 {
				t.Errorf("the second time %d objects are to be made:\n%s", n, show(t, again))
			}
			if again.done != p.done+len(p.claims) {
				t.Errorf("%d claims are made, the second time %d are there, the first time %d were", len(p.claims), again.done, p.done)
			}
		})
	}
}

func show(t *testing.T, p *plan) string {
	t.Helper()
	var out bytes.Buffer
	a := &answer{plan: p, verb: "to be created"}
	if err := a.Print(&out, false); err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return out.String() + "\n---\n" + string(text)
}

// TestAllocations is of the ways in which whereabouts writes an address down.
func TestAllocations(t *testing.T) {
	for name, tc := range map[string]struct{ first, distance, want string }{
		"from the network's address":      {"192.168.50.0", "8", "192.168.50.8"},
		"from an address within":          {"192.168.2.225", "3", "192.168.2.228"},
		"over an octet":                   {"10.0.0.0", "65537", "10.1.0.1"},
		"IPv6":                            {"fd00:50::", "8", "fd00:50::8"},
		"IPv6, more than 64 bits":         {"fd00::", "18446744073709551616", "fd00:0:0:1::"},
		"beyond the last address":         {"255.255.255.255", "1", ""},
		"no number":                       {"192.168.50.0", "x", ""},
		"before the first address of all": {"192.168.50.0", "-1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := at(netip.MustParseAddr(tc.first), tc.distance)
			if ok != (tc.want != "") || ok && got.String() != tc.want {
				t.Errorf("%s and %s are %s, %t, not %q", tc.first, tc.distance, got, ok, tc.want)
			}
		})
	}
	for name, want := range map[string]string{
		"192.168.50.8": "192.168.50.8", "iot-net-192.168.50.8": "192.168.50.8", "fd00-50--8": "fd00:50::8", "net-fd00-50--8": "fd00:50::8",
		"fd00-50--0": "fd00:50::", "net": "", "": "",
	} {
		if got, ok := reservedAddress(name); ok != (want != "") || ok && got.String() != want {
			t.Errorf("reservation %q is of %s, %t, not %q", name, got, ok, want)
		}
	}
}
