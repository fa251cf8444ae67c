// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	nadutils "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/utils"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/docs"
	"github.com/macpool/macpool/internal/binding"
)

// What a block of YAML is, behind ```yaml. Nothing stands for whole objects of Kubernetes.
const (
	fragment = "fragment" // a part of an object, or a configuration of something else
	values   = "values"   // of our Helm chart
)

// pages are the Markdown files whose blocks are checked.
func pages(t *testing.T) []string {
	t.Helper()
	files := []string{filepath.Join(root, "README.md")}
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestBlocksHold applies all YAML of the documentation, as it is printed, to a real API server, which does not keep it.
func TestBlocksHold(t *testing.T) {
	objects := 0
	for _, page := range pages(t) {
		blocks, err := docs.Blocks(page)
		if err != nil {
			t.Error(err)
			continue
		}
		for i, b := range blocks {
			switch {
			case b.Is("yaml"):
				objects += checkObjects(t, b, "")
			case b.Is("yaml", fragment):
				checkFragment(t, b)
			case b.Is("yaml", values):
				checkValues(t, b)
			case b.Is("sh"):
				objects += checkScript(t, b, answer(blocks[i+1:]))
			case b.Is("console"): // a command of ours with its answer: the commands' own tests compare it
			case b.Is("text"), b.Is("mermaid"), b.Is("json"), b.Is("toml"):
			default:
				t.Errorf("%s: no test knows what to do with a block of %q", b, b.Info)
			}
		}
	}
	// The test reads the pages that it is about.
	if objects < 10 {
		t.Errorf("only %d objects were found", objects)
	}
}

// answer is what is printed as the output of a script, if it is.
func answer(rest []docs.Block) string {
	if len(rest) > 0 && rest[0].Is("text") {
		return rest[0].Text
	}
	return ""
}

// checkScript checks that a script is one, and what its commands are given.
func checkScript(t *testing.T, b docs.Block, output string) int {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", "-n")
	command.Stdin = strings.NewReader(b.Text)
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", b, err, out)
	}
	heredocs, err := b.Heredocs()
	if err != nil {
		t.Error(err)
		return 0
	}
	objects := 0
	for _, h := range heredocs {
		switch {
		case strings.Contains(h.Command, "kubectl") && strings.Contains(h.Command, "||"):
			objects += checkObjects(t, h.Block, output)
		case strings.Contains(h.Command, "kubectl"):
			objects += checkObjects(t, h.Block, "")
		case strings.Contains(h.Command, "helm"), strings.Contains(h.Command, "values.yaml"):
			checkValues(t, h.Block)
		case strings.Contains(h.Command, "kustomization.yaml"):
			checkKustomization(t, h.Block)
		default:
			checkFragment(t, h.Block)
		}
	}
	return objects
}

// checkObjects applies the objects of a block. If a refusal is given, it is what the page prints as the API server's answer,
// and the objects must be refused so.
func checkObjects(t *testing.T, b docs.Block, refusal string) int {
	t.Helper()
	objects, err := parse([]byte(b.Text))
	if err != nil {
		t.Errorf("%s: %v", b, err)
	}
	for _, object := range objects {
		makeNamespace(t, object)
		err := dryRun(t.Context(), object.DeepCopy())
		switch {
		case err == nil && refusal != "":
			t.Errorf("%s: %s %s is not refused", b, object.GetKind(), object.GetName())
		case err != nil && refusal != "":
			// As kubectl prints it, without what it writes in front.
			_, said, _ := strings.Cut(err.Error(), "denied request: ")
			if said == "" || !strings.Contains(refusal, said) {
				t.Errorf("%s: the page has another answer than\n%v", b, err)
			}
		case err != nil:
			t.Errorf("%s: %v", b, err)
		}
		checkMeaning(t, b, object)
	}
	return len(objects)
}

// checkMeaning checks what the API server does not look at.
func checkMeaning(t *testing.T, b docs.Block, object *unstructured.Unstructured) {
	t.Helper()
	convert := runtime.DefaultUnstructuredConverter.FromUnstructured
	switch object.GetKind() {
	case "NetworkAttachmentDefinition":
		config, _, err := unstructured.NestedString(object.Object, "spec", "config")
		if err != nil {
			t.Errorf("%s: %v", b, err)
		}
		if _, err := libcni.NetworkConfFromBytes([]byte(config)); err != nil {
			if _, alone := libcni.NetworkPluginConfFromBytes([]byte(config)); alone != nil || strings.Contains(config, `"plugins"`) {
				t.Errorf("%s: libcni does not take the network's config: %v", b, err)
			}
		}
	case "MacPool":
		pool := &v1alpha1.MacPool{}
		if err := convert(object.Object, pool); err != nil {
			t.Errorf("%s: %v", b, err)
		}
		if _, err := binding.PlanOf(pool); err != nil {
			t.Errorf("%s: the manager does not take the pool: %v", b, err)
		}
	case "Pod":
		checkAnnotations(t, b, object.GetAnnotations())
	default:
		for _, path := range [][]string{{"spec", "template"}, {"spec", "jobTemplate", "spec", "template"}} {
			annotations, _, err := unstructured.NestedStringMap(object.Object, append(path, "metadata", "annotations")...)
			if err != nil {
				t.Errorf("%s: %v", b, err)
			}
			checkAnnotations(t, b, annotations)
		}
	}
}

func checkAnnotations(t *testing.T, b docs.Block, annotations map[string]string) {
	t.Helper()
	if text, asked := annotations[networks]; asked {
		if _, err := nadutils.ParseNetworkAnnotation(text, "default"); err != nil {
			t.Errorf("%s: Multus does not take the annotation: %v", b, err)
		}
	}
}

// checkFragment checks that a part of an object is YAML; one of annotations must be such as a pod can have.
func checkFragment(t *testing.T, b docs.Block) {
	t.Helper()
	parts, err := parse([]byte(b.Text))
	if err != nil || len(parts) == 0 {
		t.Errorf("%s: not the YAML of an object or a part of one: %v", b, err)
	}
	for _, part := range parts {
		annotations, found, err := unstructured.NestedStringMap(part.Object, "annotations")
		if err != nil {
			t.Errorf("%s: %v", b, err)
		}
		if !found {
			continue
		}
		checkAnnotations(t, b, annotations)
		if err := dryRun(t.Context(), podOf(annotations)); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	}
}

// checkValues checks that the chart has the values.
func checkValues(t *testing.T, b docs.Block) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "charts", "macpool", "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	known, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	given, err := parse([]byte(b.Text))
	if err != nil || len(given) != 1 {
		t.Fatalf("%s: want one document of values: %v", b, err)
	}
	checkKeys(t, b, "", given[0].Object, known[0].Object)
}

func checkKeys(t *testing.T, b docs.Block, path string, given, known map[string]any) {
	t.Helper()
	for key, value := range given {
		if _, ok := known[key]; !ok {
			t.Errorf("%s: the chart has no value %s%s", b, path, key)
		}
		inner, isMap := value.(map[string]any)
		of, has := known[key].(map[string]any)
		if isMap && has && len(of) > 0 { // an empty one takes any keys
			checkKeys(t, b, path+key+".", inner, of)
		}
	}
}

// remote is how a kustomization of somebody else names our manifests.
var remote = regexp.MustCompile(`https://github\.com/macpool/macpool//([a-z/]+)\?ref=v[0-9.]+`)

// checkKustomization builds a kustomization on top of our manifests as they are here, and applies the result.
func checkKustomization(t *testing.T, b docs.Block) {
	t.Helper()
	dir := t.TempDir()
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	if here, err = filepath.Rel(dir, here); err != nil {
		t.Fatal(err)
	}
	text := remote.ReplaceAllString(b.Text, here+"/$1")
	if text == b.Text {
		t.Errorf("%s: it does not use our manifests", b)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	kubectl := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")
	out, err := exec.CommandContext(t.Context(), kubectl, "kustomize", dir).Output()
	if err != nil {
		t.Fatalf("%s: kubectl kustomize: %v", b, err)
	}
	checkObjects(t, docs.Block{File: b.File, Line: b.Line, Text: string(out)}, "")
}

// makeNamespace makes the namespace that an object is in.
func makeNamespace(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	namespace := object.GetNamespace()
	if namespace == "" {
		return
	}
	ns := &corev1.Namespace{}
	ns.Name = namespace
	if err := client.IgnoreAlreadyExists(api.Create(t.Context(), ns)); err != nil {
		t.Errorf("creating namespace %s: %v", namespace, err)
	}
}
