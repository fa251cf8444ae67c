// SPDX-License-Identifier: Apache-2.0

package export

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/macpool/macpool/api/v1alpha1"
)

// FuzzFormats : T19. What a claim says is a tenant's, and what its status says an agent's; the API server takes most of it as it comes. Each format
// has as many entries as there are leases, each of them in the form that its reader knows and with nothing that the reader would obey: no line,
// directive, formula or document of its own. Or there is an error that names the claim, and nothing is written.
func FuzzFormats(f *testing.F) {
	f.Add("db", "StatefulSet", "node-1", "net1", "db-0", "192.168.50.8", "02:32:00:a8:32:08", int32(0))
	f.Add("a\ndhcp-host=02:00:00:00:00:01,192.168.50.1", "x,y", "n\x1b[2J", "=1+1", "\"p\"", "fd00:50::8", "02-32-00-A8-32-08", int32(7))
	f.Add("=cmd|'/C calc'!A0", "Deployment", "\t@SUM(1)", "--- ", "---\nkind: Secret", "fe80::1%\n192.168.50.1 gateway", "0232.00a8.3208", int32(-1))
	f.Add("a\"; } host b {", "DaemonSet", "'", "net1", "p", "::ffff:192.168.50.8", "x", int32(1))
	f.Add("infinite", "Pod", "12h", "0x7f000001", "localhost", "192.168.50.9", "02:32:00:a8:32:09", int32(0))
	f.Fuzz(func(t *testing.T, workload, kind, node, iface, pod, ip, mac string, ordinal int32) {
		if !utf8.ValidString(strings.Join([]string{workload, kind, node, iface, pod, ip, mac}, " ")) {
			return // no object has anything else: JSON would not carry it
		}
		hostile := v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "hostile"}}
		hostile.Spec.PoolRef.Name = "iot"
		hostile.Spec.Workload = &v1alpha1.Workload{Kind: v1alpha1.WorkloadKind(kind), Name: workload, Node: node, Interface: iface, Ordinal: &ordinal}
		hostile.Status = v1alpha1.MacClaimStatus{
			LeaseName: "lease", MAC: mac, IPs: []string{ip}, Holder: &v1alpha1.Holder{PodName: pod, NodeName: node, Interface: iface},
		}
		other := v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "other"}}
		other.Spec.PoolRef.Name = "iot"
		other.Status = v1alpha1.MacClaimStatus{LeaseName: "lease-2", MAC: "02:32:00:a8:32:09", IPs: []string{"192.168.50.77"}}
		for _, form := range formats() {
			e := &export{domain: "example.org", pools: map[string]*v1alpha1.MacPool{"iot": {
				Spec: v1alpha1.MacPoolSpec{Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24"}, {CIDR: "fd00:50::/64"}}},
			}}}
			if form.domain == domainUnused {
				e.domain = ""
			}
			if err := e.take([]v1alpha1.MacClaim{hostile, other}, form); err != nil {
				if !strings.Contains(err.Error(), "home/hostile") {
					t.Errorf("%v: which claim?", err)
				}
				return
			}
			if len(e.records) != 2 {
				t.Fatalf("%d records of two leases", len(e.records))
			}
			var out bytes.Buffer
			if err := form.write(&out, e); err != nil {
				if !form.subnets && form.name != "claims" || !strings.Contains(err.Error(), "home/hostile") {
					t.Errorf("%s: %v", form.name, err)
				}
				continue
			}
			checks[form.name](t, out.Bytes(), e)
		}
	})
}

const (
	labelPattern = `[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`
	macPattern   = `[0-9a-f]{2}(:[0-9a-f]{2}){5}`
	ipPattern    = `[0-9a-f.:]+`
)

var (
	dnsmasqLines = regexp.MustCompile(`^(dhcp-host=` + macPattern + `,\[?` + ipPattern + `\]?,` + labelPattern + `\n){2}$`)
	iscHosts     = regexp.MustCompile(`^(host ` + labelPattern + `(\.ipv6)? \{\n  hardware ethernet ` + macPattern + `;\n  fixed-address6? ` + ipPattern +
		`;\n  option host-name "` + labelPattern + `";\n\}\n){2}$`)
	hostLines = regexp.MustCompile(`^(` + ipPattern + `\t` + labelPattern + `\.example\.org ` + labelPattern + `\n){2}$`)
)

// checks read each format as its reader does.
var checks = map[string]func(*testing.T, []byte, *export){
	"kea":          checkKea,
	"dnsmasq":      matches(dnsmasqLines),
	"isc":          matches(iscHosts),
	"csv":          checkCSV,
	"netbox-csv":   checkCSV,
	"hosts":        matches(hostLines),
	"external-dns": checkEndpoints,
	"claims":       checkClaims,
}

func matches(pattern *regexp.Regexp) func(*testing.T, []byte, *export) {
	return func(t *testing.T, text []byte, _ *export) {
		t.Helper()
		if !pattern.Match(text) {
			t.Errorf("%q is not %s", text, pattern)
		}
	}
}

func checkKea(t *testing.T, text []byte, _ *export) {
	t.Helper()
	var config map[string]map[string][]struct {
		Reservations []keaReservation `json:"reservations"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	n := 0
	for _, server := range config {
		for _, subnets := range server {
			for _, s := range subnets {
				for _, r := range s.Reservations {
					n++
					if len(validation.IsDNS1123Label(r.Host)) > 0 || r.IP == "" && len(r.IPs) != 1 {
						t.Errorf("reservation %+v", r)
					}
				}
			}
		}
	}
	if n != 2 {
		t.Errorf("%d reservations of two leases: %s", n, text)
	}
}

func checkCSV(t *testing.T, text []byte, _ *export) {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Fatalf("%d rows of two leases: %q, %v", len(rows)-1, text, err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if strings.ContainsFunc(cell, unicode.IsControl) {
				t.Errorf("%q has a control character", cell)
			}
			if bare := strings.TrimSpace(cell); bare != "" && strings.ContainsAny(bare[:1], "=+-@") {
				t.Errorf("%q is a formula to a spreadsheet", cell)
			}
		}
	}
}

// documents are those of a YAML stream.
func documents(t *testing.T, text []byte) (all [][]byte) {
	t.Helper()
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.TrimSpace(document)) > 0 {
			all = append(all, document)
		}
	}
}

func checkEndpoints(t *testing.T, text []byte, _ *export) {
	t.Helper()
	all := documents(t, text)
	for _, document := range all {
		var endpoint dnsEndpoint
		if err := yaml.UnmarshalStrict(document, &endpoint); err != nil || endpoint.Kind != "DNSEndpoint" || endpoint.Namespace != "home" ||
			len(endpoint.Spec.Endpoints) != 1 || len(validation.IsDNS1123Subdomain(endpoint.Spec.Endpoints[0].Name)) > 0 {
			t.Errorf("%q: %v", document, err)
		}
	}
	if len(all) != 2 {
		t.Errorf("%d documents of two leases: %q", len(all), text)
	}
}

// checkClaims: what is written is what was there, to the letter.
func checkClaims(t *testing.T, text []byte, e *export) {
	t.Helper()
	all := documents(t, text)
	if len(all) != 2 {
		t.Fatalf("%d documents of two leases: %q", len(all), text)
	}
	for i, document := range all {
		var claim v1alpha1.MacClaim
		if err := yaml.UnmarshalStrict(document, &claim); err != nil {
			t.Fatalf("%q: %v", document, err)
		}
		want := e.records[i].claim
		if diff := cmp.Diff(want.Spec.Workload, claim.Spec.Workload); claim.Name != want.Name || diff != "" {
			t.Errorf("%s is written otherwise:\n%s", want.Name, diff)
		}
	}
}
