// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// faults is what of doctor's report this test reads.
type faults struct {
	Subjects []struct {
		Name     string
		Findings []struct{ Severity, What, Node, Fix string }
	}
}

// TestDoctor: in a cluster with a network in use there is no fault, and a plugin that somebody takes from a node is found there, by the
// exec into that node's installer.
func TestDoctor(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute; internal/cli/doctor has all its findings as seeded states")
	}
	program := buildMacpool(t)
	doctor := func(args ...string) (faults, string, error) {
		cmd := exec.CommandContext(t.Context(), program, append([]string{"doctor"}, args...)...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+box.kubeconfig())
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		var f faults
		_ = json.Unmarshal(stdout.Bytes(), &f) // what is for people is no JSON
		return f, stdout.String() + stderr.String(), err
	}

	ns := newTestNamespace(t, "doctor")
	apply(t, ns, deployment("hub", 2))
	attached(t, running(t, ns, "hub", 2))
	eventually(t, "doctor to find no fault", func() error { // a node's word on a new link takes some seconds
		_, out, err := doctor()
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	f, out, err := doctor("-o", "json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, s := range f.Subjects {
		for _, x := range s.Findings {
			t.Logf("%s: %s %s", s.Name, x.Severity, x.What)
			if x.Severity == "unchecked" {
				t.Errorf("an administrator could not have it checked: %s: %s", s.Name, x.What)
			}
		}
	}

	const plugin, aside = "/opt/cni/bin/macvlan", "/opt/cni/macvlan.aside"
	onNode(t, "n2", "mv", plugin, aside)
	t.Cleanup(func() {
		if out, err := tryOnNode(context.Background(), "n2", "mv", aside, plugin); err != nil {
			t.Errorf("putting the plugin back: %v\n%s", err, out)
		}
	})
	f, out, err = doctor("-o", "json")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("without macvlan on n2: %v\n%s", err, out)
	}
	var seen []string
	for _, s := range f.Subjects {
		for _, x := range s.Findings {
			if x.Severity == "fault" {
				seen = append(seen, s.Name+" "+x.Node)
				t.Logf("%s: %s. %s", s.Name, x.What, x.Fix)
			}
		}
	}
	if len(seen) != 1 || seen[0] != "plugins n2" {
		t.Errorf("the faults are %v\n%s", seen, out)
	}
	if _, out, err := doctor("--node", "n1"); err != nil {
		t.Errorf("n1 has no fault: %v\n%s", err, out)
	}
}
