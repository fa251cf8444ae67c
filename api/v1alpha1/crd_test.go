// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/macpool/macpool/api/v1alpha1"
)

// TestCRDsAccepted is of the conditions by which the API server tells that it serves a definition and finds no fault in its
// schema.
func TestCRDsAccepted(t *testing.T) {
	for _, name := range []string{"macpools", "macclaims", "macleases"} {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := api.Get(t.Context(), client.ObjectKey{Name: name + "." + v1alpha1.GroupVersion.Group}, crd); err != nil {
			t.Fatal(err)
		}
		got := map[apiextensionsv1.CustomResourceDefinitionConditionType]apiextensionsv1.ConditionStatus{}
		for _, c := range crd.Status.Conditions {
			got[c.Type] = c.Status
		}
		want := map[apiextensionsv1.CustomResourceDefinitionConditionType]apiextensionsv1.ConditionStatus{"Established": "True", "NamesAccepted": "True"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("conditions of %s (-want +got):\n%s", name, diff)
		}
	}
}

// TestEveryFieldDescribed is for kubectl explain.
func TestEveryFieldDescribed(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(crds, "*.yaml"))
	if err != nil || len(files) != 4 {
		t.Fatalf("got %v (%v), want four CRDs", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			t.Fatal(err)
		}
		for _, version := range crd.Spec.Versions {
			if n := checkDescribed(t, crd.Spec.Names.Kind, version.Schema.OpenAPIV3Schema); n < 10 {
				t.Errorf("%s has %d described fields, which is too few to be true", file, n)
			}
		}
	}
}

// checkDescribed counts the described fields under a schema.
func checkDescribed(t *testing.T, path string, schema *apiextensionsv1.JSONSchemaProps) int {
	t.Helper()
	described := 0
	if schema.Items != nil && schema.Items.Schema != nil {
		described += checkDescribed(t, path+"[]", schema.Items.Schema)
	}
	for name, property := range schema.Properties {
		at := path + "." + name
		switch {
		case property.Description != "":
			described++
		case name != "metadata": // ObjectMeta is the API server's own
			t.Errorf("%s has no description", at)
		}
		described += checkDescribed(t, at, &property)
	}
	return described
}

// TestPrinterColumns is of the tables that kubectl get prints, wide ones included: `kubectl get macclaims -A` is the audit
// of a VLAN.
func TestPrinterColumns(t *testing.T) {
	namespace := newNamespace(t)
	pool := validPool()
	mustCreate(t, pool)
	pool.Status = v1alpha1.MacPoolStatus{
		Segment: "vlan-50", MACPrefix: "02:32:00", Capacity: ptr.To[int64](82), Leased: ptr.To[int64](3), Cooling: ptr.To[int64](2),
		Conflicted: ptr.To[int64](1), Suspect: ptr.To[int64](1), OutOfRange: ptr.To[int64](4), Available: ptr.To[int64](75),
		Conditions: []metav1.Condition{{Type: v1alpha1.PoolReady, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonValid, LastTransitionTime: metav1.Now()}},
	}
	if err := api.Status().Update(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	claim := validClaim(namespace)
	mustCreate(t, claim)
	hold(t, claim, "node-a")
	lease := validLease()
	now := metav1.Now()
	lease.Spec.NodeName, lease.Spec.ReleasedAt, lease.Spec.ReusableAt = "node-a", &now, &now
	lease.Spec.Conflict = &v1alpha1.Conflict{MAC: "00:1b:21:00:00:01", NodeName: "node-b", SeenAt: now}
	mustCreate(t, lease)

	const anAge = "*"
	for path, want := range map[string][][3]string{ // column, its priority (0 always, 1 with -o wide), cell
		"macpools/" + pool.Name: {
			{"Name", "0", pool.Name},
			{"VLAN", "0", "50"},
			{"CIDR", "0", "192.168.50.0/24"},
			{"Capacity", "0", "82"},
			{"Leased", "0", "3"},
			{"Available", "0", "75"},
			{"Conflicts", "0", "1"},
			{"Ready", "0", "True"},
			{"Age", "0", anAge},
			{"CIDR2", "1", "fd00:50::/64"},
			{"MAC-Prefix", "1", "02:32:00"},
			{"Segment", "1", "vlan-50"},
			{"Cooling", "1", "2"},
			{"Suspect", "1", "1"},
			{"Out-Of-Range", "1", "4"},
			{"Reason", "1", "Valid"},
		},
		"namespaces/" + namespace + "/macclaims/" + claim.Name: {
			{"Name", "0", claim.Name},
			{"Pool", "0", "iot"},
			{"VLAN", "0", "50"},
			{"MAC", "0", "02:32:00:a8:32:08"},
			{"IP", "0", "192.168.50.8"},
			{"Holder", "0", "db-0"},
			{"Node", "0", "node-a"},
			{"Ready", "0", "True"},
			{"Age", "0", anAge},
			{"IP2", "1", "fd00:50::8"},
			{"Interface", "1", "net1"},
			{"Since", "1", anAge},
			{"Reason", "1", "Bound"},
		},
		"macleases/" + lease.Name: {
			{"Name", "0", lease.Name},
			{"Pool", "0", "iot"},
			{"MAC", "0", "02:32:00:a8:32:08"},
			{"IP", "0", "192.168.50.8"},
			{"Namespace", "0", "iot"},
			{"Claim", "0", "db-0.iot.net1"},
			{"Node", "0", "node-a"},
			{"Leased", "0", anAge},
			{"Released", "0", anAge},
			{"Conflict", "0", "00:1b:21:00:00:01"},
			{"IP2", "1", "fd00:50::8"},
			{"Reusable", "1", anAge},
		},
	} {
		table := getTable(t, path)
		if len(table.Rows) != 1 || len(table.Rows[0].Cells) != len(table.ColumnDefinitions) {
			t.Fatalf("%s: got %d rows of other than %d cells", path, len(table.Rows), len(table.ColumnDefinitions))
		}
		var got [][3]string
		for i, column := range table.ColumnDefinitions {
			cell := text(t, table.Rows[0].Cells[i])
			if column.Name == "Age" || column.Type == "date" {
				if cell == "" || cell == "<unknown>" {
					t.Errorf("%s: no age in column %s", path, column.Name)
				}
				cell = anAge
			}
			got = append(got, [3]string{column.Name, text(t, column.Priority), cell})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func text(t *testing.T, cell any) string {
	t.Helper()
	if s, ok := cell.(string); ok {
		return s
	}
	raw, err := json.Marshal(cell)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// getTable asks for an object as kubectl get does.
func getTable(t *testing.T, path string) *metav1.Table {
	t.Helper()
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.JoinPath(config.Host, "apis", v1alpha1.GroupVersion.String(), path)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	response, err := httpClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %s (%v)", path, response.Status, body, err)
	}
	table := &metav1.Table{}
	if err := json.Unmarshal(body, table); err != nil {
		t.Fatal(err)
	}
	return table
}
