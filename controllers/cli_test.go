// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"bytes"
	"path/filepath"
	"strings"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/macpool/macpool/internal/cli/root"
	"github.com/macpool/macpool/internal/kubeconfigtest"
)

// macpool is kubectl macpool, as an administrator types it.
func (w *world) macpool(args ...string) (out, errOut string, status int) {
	w.t.Helper()
	return w.macpoolAs(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, args...)
}

// macpoolAs is kubectl macpool of somebody.
func (w *world) macpoolAs(who envtest.User, args ...string) (out, errOut string, status int) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "kubeconfig")
	if err := kubeconfigtest.Write(file, w.api, who); err != nil {
		w.t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: &stdout, ErrOut: &stderr}
	c := root.New(streams)
	c.SetArgs(append([]string{"--kubeconfig", file}, args...))
	c.SetContext(w.t.Context())
	status = root.Execute(c, streams)
	return stdout.String(), stderr.String(), status
}

// decodeAll reads the objects of a YAML stream.
func decodeAll[T any](w *world, stream string) (objects []T) {
	w.t.Helper()
	for document := range strings.SplitSeq(stream, "---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		var object T
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			w.t.Fatalf("%v in\n%s", err, document)
		}
		objects = append(objects, object)
	}
	return objects
}

// forced is how Git's tools write.
var forced = []client.ApplyOption{client.FieldOwner("git"), client.ForceOwnership}
