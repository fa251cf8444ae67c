// SPDX-License-Identifier: Apache-2.0

// Package prometheus_test checks the alerts and the dashboard: against the catalogue of metrics, so that none can name what is not
// served, and the alerts by promtool, so that each fires where it should, and only there.
package prometheus_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// rule is an alert, or what is recorded.
type rule struct {
	Alert       string            `json:"alert,omitempty"`
	Record      string            `json:"record,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type rules struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

func readRules(t *testing.T) rules {
	t.Helper()
	text, err := os.ReadFile("rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		Spec rules `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	return object.Spec
}

func alerts(t *testing.T) []rule {
	t.Helper()
	var all []rule
	for _, group := range readRules(t).Groups {
		for _, r := range group.Rules {
			if r.Alert != "" {
				all = append(all, r)
			}
		}
	}
	return all
}

// TestRules has all rules name what is served, and each alert say what to do, here and in its runbook.
func TestRules(t *testing.T) {
	for _, group := range readRules(t).Groups {
		for _, r := range group.Rules {
			for _, wrong := range served().wrong(r.Expr) {
				t.Errorf("%s%s: %s", r.Alert, r.Record, wrong)
			}
			if _, known := served()[r.Record]; r.Alert == "" && !known {
				t.Errorf("the check of expressions does not know the recorded %s", r.Record)
			}
		}
	}
	runbook, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts(t) {
		if !slices.Contains([]string{"warning", "critical"}, a.Labels["severity"]) {
			t.Errorf("%s has the severity %q", a.Alert, a.Labels["severity"])
		}
		if a.Annotations["summary"] == "" || len(a.Annotations["description"]) < 60 || a.For == "" {
			t.Errorf("%s lacks a summary, a description that says what to do, or a time", a.Alert)
		}
		_, anchor, _ := strings.Cut(a.Annotations["runbook_url"], "docs/alerts.md#")
		if anchor != strings.ToLower(a.Alert) || !strings.Contains(string(runbook), "\n## "+a.Alert+"\n") {
			t.Errorf("%s has no runbook at %q", a.Alert, a.Annotations["runbook_url"])
		}
	}
	if n := strings.Count(string(runbook), "\n## Macpool"); n != len(alerts(t)) {
		t.Errorf("docs/alerts.md has %d runbooks for %d alerts", n, len(alerts(t)))
	}
}

// TestDashboard has all panels and variables ask for what is served.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int    `json:"id"`
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
		Templating struct {
			List []struct {
				Name       string `json:"name"`
				Definition string `json:"definition"`
			} `json:"list"`
		} `json:"templating"`
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	queries, ids := 0, map[int]bool{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("there are two panels %d", p.ID)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			queries++
			for _, wrong := range served().wrong(target.Expr) {
				t.Errorf("%s: %s", p.Title, wrong)
			}
		}
	}
	if queries < 20 {
		t.Errorf("only %d queries were found", queries)
	}
	for _, v := range dashboard.Templating.List {
		name, label, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(v.Definition, "label_values("), ")"), ", ")
		if _, known := served()[name][label]; ok && !known {
			t.Errorf("variable %s: %s has no label %s", v.Name, name, label)
		}
	}
}

// TestAlerts has promtool (R-O1) fire each alert by series that are bad, and keep it silent by ones that are nearly so.
func TestAlerts(t *testing.T) {
	type sample struct {
		Labels string  `json:"labels"`
		Value  float64 `json:"value"`
	}
	type expression struct {
		Expr    string   `json:"expr"`
		At      string   `json:"eval_time"`
		Samples []sample `json:"exp_samples"`
	}
	type input struct {
		Series string `json:"series"`
		Values string `json:"values"`
	}
	type world struct {
		Name        string       `json:"name"`
		Interval    string       `json:"interval"`
		Series      []input      `json:"input_series"`
		Expressions []expression `json:"promql_expr_test"`
	}
	series := func(lines string) []input {
		var all []input
		for line := range strings.Lines(lines) {
			line = strings.TrimSpace(line)
			at := strings.LastIndex(line, " ")
			all = append(all, input{line[:at], line[at+1:]})
		}
		return all
	}
	// promtool makes a database for each world, which takes it a second: so there are three, and in two of them a pool and a node for each case.
	bad, good := world{Name: "bad", Interval: "1m"}, world{Name: "good", Interval: "1m"}
	tested := map[string]bool{}
	for _, c := range cases {
		tested[c.alert] = true
		i := slices.IndexFunc(alerts(t), func(a rule) bool { return a.Alert == c.alert })
		if i < 0 {
			t.Errorf("there is no alert %s", c.alert)
			continue
		}
		a := alerts(t)[i]
		for _, text := range a.Annotations {
			for _, m := range reference.FindAllStringSubmatch(text, -1) {
				if !strings.Contains(c.labels, m[1]+"=") {
					t.Errorf("%s is about {%s}, and its text names the label %s", c.alert, c.labels, m[1])
				}
			}
		}
		own := strings.NewReplacer(`pool="iot"`, `pool="pool-`+c.alert+`"`, `node="a"`, `node="node-`+c.alert+`"`).Replace
		firing := strings.TrimSuffix(`ALERTS{alertname="`+c.alert+`",alertstate="firing",`+own(c.labels), ",")
		sound := strings.TrimSuffix(firing, ",") + `,severity="` + a.Labels["severity"] + `"}`
		bad.Series = append(bad.Series, series(own(c.bad))...)
		bad.Expressions = append(bad.Expressions, expression{firing + "}", "100m", []sample{{sound, 1}}})
		good.Series = append(good.Series, series(own(c.good))...)
		good.Expressions = append(good.Expressions, expression{firing + "}", "100m", nil})
	}
	for _, a := range alerts(t) {
		if !tested[a.Alert] {
			t.Errorf("no series are there that fire %s", a.Alert)
		}
	}
	worlds := []world{bad, good, {"all is well", "1m", series(healthy), []expression{{"ALERTS", "100m", nil}}}}

	dir := t.TempDir()
	write := func(name string, content any) string {
		text, err := yaml.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(args ...string) {
		out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput()
		if err != nil {
			t.Errorf("promtool %s: %v\n%s\n(promtool is in Debian's package prometheus)", strings.Join(args, " "), err, out)
		}
	}
	run("check", "rules", write("rules.yaml", readRules(t)))
	run("test", "rules", write("tests.yaml", map[string]any{"rule_files": []string{"rules.yaml"}, "evaluation_interval": "5m", "tests": worlds}))
}
