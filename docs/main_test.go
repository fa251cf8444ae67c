// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/macpool/macpool/internal/kubeconfigtest"
)

// root is the repository.
const root = ".."

// The API server has everything that an installed macpool and Multus add to one. kubeconfig is a file by which kubectl reaches it.
var (
	api        client.Client
	kubeconfig string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	server := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join(root, "config", "crd", "bases"), filepath.Join(root, "e2e", "lab", "manifests", "nad-crd.yaml")},
		ErrorIfCRDPathMissing: true,
	}
	config, file, stop, err := kubeconfigtest.Serve(server)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stop()
	kubeconfig = file
	if api, err = client.New(config, client.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, "making a client:", err)
		return 1
	}
	if err := enforce(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// enforce makes the policies, and returns when they are in force.
func enforce(ctx context.Context) error {
	files, err := filepath.Glob(filepath.Join(root, "config", "policy", "*.yaml"))
	if err != nil {
		return fmt.Errorf("looking for policies: %w", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading a policy: %w", err)
		}
		objects, err := parse(text)
		if err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		for _, object := range objects {
			if object.GetKind() == "Kustomization" {
				continue
			}
			if err := api.Create(ctx, object); err != nil {
				return fmt.Errorf("creating %s: %w", file, err)
			}
		}
	}
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		return apierrors.IsInvalid(dryRun(ctx, podOf(map[string]string{networks: `[{"name": "any", "mac": "01:00:00:00:00:01"}]`}))), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the policy on MACs to refuse one: %w", err)
	}
	return nil
}

// parse reads the documents of a YAML text, none of which may have a key twice.
func parse(text []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		content := map[string]any{}
		if err := yaml.UnmarshalStrict(document, &content); err != nil {
			return nil, err
		}
		if len(content) > 0 {
			objects = append(objects, &unstructured.Unstructured{Object: content})
		}
	}
}

// dryRun asks the API server what it would say to an object, as strictly as it can. That the object exists is no objection.
func dryRun(ctx context.Context, object client.Object) error {
	err := api.Create(ctx, object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// networks is the annotation by which a pod asks for its networks.
const networks = "k8s.v1.cni.cncf.io/networks"

func podOf(annotations map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "any", Annotations: annotations},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "any", Image: "any"}}},
	}
}
