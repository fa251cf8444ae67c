// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// TestMonitoring runs Prometheus on the manager and the agents while pods come, go and are refused (R-O1): every panel of the dashboard finds
// data, what is served is what docs/metrics.md describes, and alerts that can be provoked cheaply fire.
func TestMonitoring(t *testing.T) {
	const name, full = "monitoring", "monitoring-full"
	namespace(t, name)
	roomy := newPool(name, vlanMonitoring, 200)
	roomy.Spec.Parents = []v1alpha1.Parent{{Link: "eth9.50"}} // no node has it
	createPool(t, roomy)
	createPool(t, newPool(full, vlanMonitoringFull, 1))
	createNetwork(t, name, "net", macvlanConfig("1.0.0", vlanMonitoring, name))
	createNetwork(t, name, full, macvlanConfig("1.0.0", vlanMonitoringFull, full))
	p := startPrometheus(t)
	runPod(t, name, "first", full, cluster.Nodes[0])

	load, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	t.Cleanup(func() { end(); <-ended })
	go func() {
		defer close(ended)
		for i := 0; load.Err() == nil; i++ {
			churn(load, t, name, i)
		}
	}()

	for title, queries := range panels(t) {
		for _, query := range queries {
			eventually(t, "data of panel "+title+": "+query, func(ctx context.Context) error {
				if found := p.query(ctx, t, query); len(found) == 0 {
					return fmt.Errorf("there is none")
				}
				return nil
			})
		}
	}
	for _, alert := range []string{"MacpoolPoolExhausted", "MacpoolParentNotReady", "MacpoolAddErrors"} {
		eventually(t, alert+" to fire", func(ctx context.Context) error {
			if found := p.query(ctx, t, `ALERTS{alertname="`+alert+`",alertstate="firing"}`); len(found) == 0 {
				return fmt.Errorf("it does not")
			}
			return nil
		})
	}
	assertDescribed(t, p)
}

// churn attaches and ends a pod, and has another refused, whose pool has no address left.
func churn(ctx context.Context, t *testing.T, ns string, turn int) {
	t.Helper()
	node := cluster.Nodes[turn%2]
	for _, network := range []string{"net", "monitoring-full"} {
		pod := lab.NewPod(ns, fmt.Sprintf("%s-%d", network, turn), network)
		if err := cluster.CreatePod(ctx, pod, node); err != nil {
			return // the test ends
		}
		s, err := cluster.RunPod(ctx, pod, node)
		switch {
		case err == nil && network != "net":
			t.Errorf("%s has got an address of a pool that has none", pod.Name)
			fallthrough
		case err == nil:
			err = cluster.StopPod(context.WithoutCancel(ctx), s)
		default:
			err = cluster.ForgetPod(context.WithoutCancel(ctx), pod)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// prometheus is Debian's, and what it has scraped.
type prometheus struct{ address string }

// startPrometheus starts one that scrapes everything twice a second, as the PodMonitor would label it, and to which alerts are due at once.
func startPrometheus(t *testing.T) *prometheus {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("%v: install Debian's package prometheus", err)
	}
	var targets []map[string]any
	target := func(address string, labels map[string]string) {
		targets = append(targets, map[string]any{"targets": []string{address}, "labels": labels})
	}
	target(cluster.ManagerMetrics, map[string]string{"component": "manager"})
	for _, n := range cluster.Nodes[:2] {
		address, err := n.Metrics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		target(address, map[string]string{"component": "agent", "node": n.Name})
	}
	dir := t.TempDir()
	write := func(file string, content any) {
		text, err := yaml.Marshal(content)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("../config/prometheus/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]any{}
	if err := yaml.Unmarshal(regexp.MustCompile(`(?m)^ +for: .*$`).ReplaceAll(text, nil), &rules); err != nil {
		t.Fatal(err)
	}
	write("rules.yaml", rules["spec"])
	write("prometheus.yaml", map[string]any{
		"global":         map[string]any{"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"},
		"rule_files":     []string{"rules.yaml"},
		"scrape_configs": []any{map[string]any{"job_name": "macpool", "static_configs": targets}},
	})
	address, err := lab.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := &prometheus{address}
	process, err := lab.StartProcess(dir, lab.Command{Name: "prometheus", Path: path, Args: []string{
		"--config.file=" + filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + p.address, "--log.level=warn",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of Prometheus ends:\n%s", process.Tail(20))
		}
		_ = process.Stop(context.WithoutCancel(t.Context()))
	})
	eventually(t, "Prometheus to scrape all", func(ctx context.Context) error {
		if found := p.query(ctx, t, "up == 1"); len(found) != len(targets) {
			return fmt.Errorf("it has %v", found)
		}
		return nil
	})
	return p
}

// query asks for what an expression is now; an answer that is no number is none.
func (p *prometheus) query(ctx context.Context, t *testing.T, expression string) []map[string]string {
	t.Helper()
	var answer struct {
		Error string `json:"error"`
		Data  struct {
			Result []struct {
				Metric map[string]string `json:"metric"`
				Value  []any             `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	p.get(ctx, "/api/v1/query?query="+url.QueryEscape(expression), &answer)
	if answer.Error != "" {
		t.Fatalf("%s: %s", expression, answer.Error)
	}
	var found []map[string]string
	for _, r := range answer.Data.Result {
		if len(r.Value) == 2 && r.Value[1] != "NaN" {
			found = append(found, r.Metric)
		}
	}
	return found
}

func (p *prometheus) get(ctx context.Context, path string, into any) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, http.NoBody)
	if err != nil {
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return // it has not started yet
	}
	defer func() { _ = resp.Body.Close() }()
	_ = json.NewDecoder(resp.Body).Decode(into)
}

// panels are the queries of the dashboard by the title of their panel, as Grafana asks them.
func panels(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../config/prometheus/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	fill, queries := strings.NewReplacer("$__rate_interval", "30s", "$pool", ".*", "$node", ".*"), map[string][]string{}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries[panel.Title] = append(queries[panel.Title], fill.Replace(target.Expr))
		}
	}
	if len(queries) < 20 {
		t.Fatalf("only %d panels were found", len(queries))
	}
	return queries
}

// assertDescribed compares the names that Prometheus has with those of docs/metrics.md.
func assertDescribed(t *testing.T, p *prometheus) {
	t.Helper()
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(macpool_[a-z_]+)` \\| (gauge|counter|histogram) \\|").FindAllStringSubmatch(string(text), -1) {
		if described[m[1]] = true; m[2] == "histogram" {
			described[m[1]+"_bucket"], described[m[1]+"_sum"], described[m[1]+"_count"] = true, true, true
			delete(described, m[1])
		}
	}
	var names struct {
		Data []string `json:"data"`
	}
	p.get(t.Context(), "/api/v1/label/__name__/values", &names)
	for _, name := range names.Data {
		if strings.HasPrefix(name, "macpool_") && !described[name] {
			t.Errorf("%s is served, and docs/metrics.md does not describe it", name)
		}
	}
	for name := range described {
		if !slices.Contains(names.Data, name) && name != "macpool_bind_retries_total" { // for which two must want one address
			t.Errorf("docs/metrics.md describes %s, and nobody serves it", name)
		}
	}
}
