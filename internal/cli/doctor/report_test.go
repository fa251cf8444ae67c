// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/cli"
)

var update = flag.Bool("update", false, "write the golden files")

// The report, as it is shown in each form.
func TestOutput(t *testing.T) {
	sick := healthy()
	sick.deployments.Items[1].Spec.Template.ObjectMeta = typed(`[{"name": "iot", "mac": "f1:fd:59:0b:bd:2b"}]`)
	sick.configMaps.Items[0].Data = nil
	parentIs(v1alpha1.ParentSilent)(sick)
	inspected(func(i *inspection) { i.err = errors.New("pods/exec is forbidden") })(sick)
	sick.pools.Items[0].Status.Available = new(int64(3))
	for name, tc := range map[string]struct {
		state *state
		flag  string
	}{
		"healthy": {healthy(), ""}, "sick": {sick, ""}, "sick-wide": {sick, "wide"}, "sick-json": {sick, "json"}, "sick-yaml": {sick, "yaml"}, "sick-name": {sick, "name"},
	} {
		t.Run(name, func(t *testing.T) {
			var o cli.Output
			c := &cobra.Command{}
			o.AddTo(c)
			if err := c.Flags().Set("output", tc.flag); err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := o.Write(&b, &Report{Subjects: examine(tc.state)}); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Each node is asked by its agent's pod; one that does not answer, or answers nonsense, keeps no other from being heard.
func TestInspect(t *testing.T) {
	s := healthy()
	var asked int
	s.inspect(t.Context(), func(_ context.Context, pod *corev1.Pod, container string, command ...string) ([]byte, error) {
		if container != "installer" || strings.Join(command, " ") != "/installer check -json" {
			t.Errorf("%s: %v", container, command)
		}
		if pod.Spec.NodeName == "n1" {
			return []byte(`{"directories": [{"dir": "/opt/cni/bin", "own": "Current"}], "socket": true}`), nil
		}
		return nil, context.DeadlineExceeded
	}, func(n, _ int) { asked = n })
	if i := s.installers["n1"]; i.err != nil || !i.Socket || i.Directories[0].Dir != "/opt/cni/bin" {
		t.Errorf("n1: %+v", i)
	}
	if i := s.installers["n2"]; i.err == nil || !strings.Contains(i.err.Error(), "macpool-agent-n2 did not answer") {
		t.Errorf("n2: %+v", i)
	}
	if asked != 2 {
		t.Errorf("%d nodes were asked", asked)
	}
}
