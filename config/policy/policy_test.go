// SPDX-License-Identifier: Apache-2.0

// Package policy_test proves the admission policies of this directory on a real API server: what they refuse, in which words,
// and what they leave alone.
package policy_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/mac"
	"github.com/macpool/macpool/internal/problem"
)

const (
	networks = "k8s.v1.cni.cncf.io/networks"

	// The founding case: what was asked for, and the nearest MAC that an interface can carry.
	foundingMAC     = "f1:fd:59:0b:bd:2b"
	foundingNearest = "f2:fd:59:0b:bd:2b"
)

// founding is the founding case's annotation.
var founding = asking(foundingMAC)

func asking(macText string) string {
	return fmt.Sprintf(`[{"name": "iot-vlan", "namespace": "network", "ips": ["192.168.50.8/24"], "mac": %q}]`, macText)
}

// wantMessage is what the person is told: the catalogue's sentence, and the way out.
func wantMessage(macText, nearest string) string {
	sentence := problem.MulticastMAC.New(macText).WithFix("").Error()
	if nearest == "02:00:00:00:00:00" {
		sentence = problem.ImpossibleMAC.New(macText).WithFix("").Error()
	}
	return sentence + ". Drop the MAC from the annotation " + networks + ", or write the nearest legal one, " + nearest
}

// checkRefused wants err to be the policy's refusal with exactly this message.
func checkRefused(t *testing.T, err error, want string) {
	t.Helper()
	if !apierrors.IsInvalid(err) {
		t.Fatalf("got %v, want a refusal as invalid", err)
	}
	_, message, _ := strings.Cut(err.Error(), "denied request: ")
	if message != want {
		t.Errorf("refused with\n%s\nwant\n%s", err, want)
	}
}

// checkForbidden wants err to be a policy's refusal, in the words of the catalogue.
func checkForbidden(t *testing.T, err error, want *problem.Error) {
	t.Helper()
	if !apierrors.IsForbidden(err) {
		t.Fatalf("got %v, want a refusal as forbidden", err)
	}
	if _, message, _ := strings.Cut(err.Error(), "denied request: "); message != want.Error() {
		t.Errorf("refused with\n%s\nwant\n%s", message, want)
	}
}

// kinds makes an object of each kind that people apply, whose pods have the annotation.
var kinds = map[string]func(namespace, annotation string) client.Object{
	"Pod": func(namespace, annotation string) client.Object {
		template := templateWith(annotation)
		pod := &corev1.Pod{ObjectMeta: named(namespace), Spec: template.Spec}
		pod.Annotations = template.Annotations
		return pod
	},
	"Deployment": func(namespace, annotation string) client.Object {
		return &appsv1.Deployment{ObjectMeta: named(namespace), Spec: appsv1.DeploymentSpec{Selector: selector, Template: templateWith(annotation)}}
	},
	"StatefulSet": func(namespace, annotation string) client.Object {
		return &appsv1.StatefulSet{ObjectMeta: named(namespace), Spec: appsv1.StatefulSetSpec{Selector: selector, Template: templateWith(annotation)}}
	},
	"DaemonSet": func(namespace, annotation string) client.Object {
		return &appsv1.DaemonSet{ObjectMeta: named(namespace), Spec: appsv1.DaemonSetSpec{Selector: selector, Template: templateWith(annotation)}}
	},
	"Job": func(namespace, annotation string) client.Object {
		return &batchv1.Job{ObjectMeta: named(namespace), Spec: jobWith(annotation)}
	},
	"CronJob": func(namespace, annotation string) client.Object {
		return &batchv1.CronJob{ObjectMeta: named(namespace), Spec: batchv1.CronJobSpec{
			Schedule: "@daily", JobTemplate: batchv1.JobTemplateSpec{Spec: jobWith(annotation)},
		}}
	},
}

func named(namespace string) metav1.ObjectMeta {
	return metav1.ObjectMeta{GenerateName: "camera-", Namespace: namespace}
}

var selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "camera"}}

func templateWith(annotation string) corev1.PodTemplateSpec {
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: selector.MatchLabels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "camera"}}},
	}
	if annotation != "" {
		template.Annotations = map[string]string{networks: annotation}
	}
	return template
}

func jobWith(annotation string) batchv1.JobSpec {
	template := templateWith(annotation)
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	return batchv1.JobSpec{Template: template}
}

func dryCreate(t *testing.T, obj client.Object) error {
	t.Helper()
	return api.Create(t.Context(), obj, client.DryRunAll)
}

func TestEveryKind(t *testing.T) {
	for kind, newObject := range kinds {
		t.Run(kind, func(t *testing.T) {
			checkRefused(t, dryCreate(t, newObject("default", founding)), wantMessage(foundingMAC, foundingNearest))
			for name, annotation := range map[string]string{
				"none": "", "empty": " ", "names": "network/iot-vlan@net1, other", "no mac": `[{"name": "iot-vlan"}]`, "legal": asking(foundingNearest),
			} {
				if err := dryCreate(t, newObject("default", annotation)); err != nil {
					t.Errorf("annotation %s (%q): %v", name, annotation, err)
				}
			}
			misplaced := newObject("default", "")
			if kind != "Pod" {
				misplaced.SetAnnotations(map[string]string{networks: founding}) // of the workload itself, which nobody reads
			}
			if err := dryCreate(t, misplaced); err != nil {
				t.Errorf("annotation beside the template: %v", err)
			}
		})
	}
}

func TestNotations(t *testing.T) {
	for macText, nearest := range map[string]string{
		// The lowest two bits of the first octet: multicast goes, local comes.
		"01:00:5e:00:00:01": "02:00:5e:00:00:01",
		"33:33:00:00:00:01": "32:33:00:00:00:01",
		"e5:d1:44:8d:65:b0": "e6:d1:44:8d:65:b0",
		"e7:d1:44:8d:65:b0": "e6:d1:44:8d:65:b0",
		"09:00:00:00:00:01": "0a:00:00:00:00:01",
		"0b:00:00:00:00:01": "0a:00:00:00:00:01",
		"0d:00:00:00:00:01": "0e:00:00:00:00:01",
		"0f:00:00:00:00:01": "0e:00:00:00:00:01",
		"ff:ff:ff:ff:ff:ff": "fe:ff:ff:ff:ff:ff",
		"00:00:00:00:00:00": "02:00:00:00:00:00",
		// Every notation that Multus' parser takes.
		"F1:FD:59:0B:BD:2B": foundingNearest,
		"f1-fd-59-0b-bd-2b": foundingNearest,
		"F1-Fd-59-0b-bd-2B": foundingNearest,
		"f1fd.590b.bd2b":    foundingNearest,
		"F1FD.590B.BD2B":    foundingNearest,
		"f1fd590bbd2b":      foundingNearest,
		"000000000000":      "02:00:00:00:00:00",
		"00-00-00-00-00-00": "02:00:00:00:00:00",
		"0000.0000.0000":    "02:00:00:00:00:00",
		"FF-FF-FF-FF-FF-FF": "fe:ff:ff:ff:ff:ff",
		"ffff.ffff.ffff":    "fe:ff:ff:ff:ff:ff",
		// Can be carried.
		"02:32:00:a8:32:08": "",
		"02-32-00-A8-32-08": "",
		"0232.00a8.3208":    "",
		"023200a83208":      "",
		"00:1b:21:00:00:01": "",
		"00:00:00:00:00:01": "",
		"0000.0000.0001":    "",
		// Not a MAC of six octets: not this policy's business.
		"":                        "",
		"f1":                      "",
		"f1:fd:59:0b:bd":          "",
		"f1:fd-59:0b:bd:2b":       "",
		"f1:fd:59:0b:bd:2b:00:00": "",
		"random":                  "",
	} {
		t.Run(macText, func(t *testing.T) {
			err := dryCreate(t, kinds["Pod"]("default", asking(macText)))
			parsed, parseErr := mac.Parse(macText)
			impossible := parseErr == nil && (parsed.IsMulticast() || parsed.IsZero())
			switch {
			case impossible != (nearest != ""):
				t.Fatalf("internal/mac says impossible: %v", impossible)
			case !impossible:
				if err != nil {
					t.Fatal(err)
				}
			default:
				if parsed.Nearest().String() != nearest {
					t.Errorf("internal/mac's nearest is %s, want %s", parsed.Nearest(), nearest)
				}
				checkRefused(t, err, wantMessage(macText, nearest))
			}
		})
	}
}

func TestPlacesInTheAnnotation(t *testing.T) {
	for name, tc := range map[string]struct {
		annotation string
		refused    bool
	}{
		"second element":       {`[{"name": "a", "mac": "02:32:00:a8:32:08"}, {"name": "b", "mac": "f1:fd:59:0b:bd:2b"}]`, true},
		"cni-args":             {`[{"name": "a", "cni-args": {"mac": "f1:fd:59:0b:bd:2b"}}]`, true},
		"no spaces":            {`[{"name":"a","mac":"f1:fd:59:0b:bd:2b"}]`, true},
		"over several lines":   {"[{\n  \"name\": \"a\",\n  \"mac\" :\n\t\"f1:fd:59:0b:bd:2b\"\n}]", true},
		"key in capitals":      {`[{"name": "a", "MAC": "f1:fd:59:0b:bd:2b"}]`, true},
		"last of two hundred":  {"[" + strings.Repeat(`{"name": "a", "mac": "02:32:00:a8:32:08"}, `, 199) + `{"name": "b", "mac": "f1:fd:59:0b:bd:2b"}]`, true},
		"as long as it can be": {"[" + strings.Repeat(`{"name": "a", "mac": "02:32:00:a8:32:08"}, `, 5900) + `{"name": "b"}]`, false},
		"another key":          {`[{"name": "a", "cni-args": {"peer-mac": "f1:fd:59:0b:bd:2b"}}]`, false},
		"a name that looks so": {`[{"name": "mac", "namespace": "f1:fd:59:0b:bd:2b"}]`, false},
		"comma form":           {"network/iot-vlan@net1,mac", false},
		"no JSON":              {`"mac": f1:fd:59:0b:bd:2b`, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := dryCreate(t, kinds["Pod"]("default", tc.annotation))
			if tc.refused {
				checkRefused(t, err, wantMessage(foundingMAC, foundingNearest))
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStoredBefore is of objects that are older than the policy: whatever does not touch the annotation goes through, or a
// pod could not be finalized.
func TestStoredBefore(t *testing.T) {
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		t.Run(kind, func(t *testing.T) {
			obj := older[kind].DeepCopyObject().(client.Object) //nolint:errcheck // a copy has the type of its original
			obj.SetLabels(map[string]string{"touched": "yes"})
			obj.SetFinalizers(nil)
			if err := api.Update(t.Context(), obj, client.DryRunAll); err != nil {
				t.Errorf("labelling and finalizing: %v", err)
			}
			if kind == "Job" {
				return // its template is immutable
			}
			setAnnotation(obj, strings.ReplaceAll(founding, "iot-vlan", "other"))
			err := api.Update(t.Context(), obj, client.DryRunAll)
			checkRefused(t, err, wantMessage(foundingMAC, foundingNearest))
			setAnnotation(obj, asking(foundingNearest))
			if err := api.Update(t.Context(), obj, client.DryRunAll); err != nil {
				t.Errorf("mending: %v", err)
			}
		})
	}
}

func setAnnotation(obj client.Object, annotation string) {
	var template *metav1.ObjectMeta
	switch o := obj.(type) {
	case *corev1.Pod:
		template = &o.ObjectMeta
	case *appsv1.Deployment:
		template = &o.Spec.Template.ObjectMeta
	case *appsv1.StatefulSet:
		template = &o.Spec.Template.ObjectMeta
	case *appsv1.DaemonSet:
		template = &o.Spec.Template.ObjectMeta
	case *batchv1.Job:
		template = &o.Spec.Template.ObjectMeta
	case *batchv1.CronJob:
		template = &o.Spec.JobTemplate.Spec.Template.ObjectMeta
	}
	template.Annotations = map[string]string{networks: annotation}
}

// TestSwitchedOff is of the two switches: a namespace's label, and the binding.
func TestSwitchedOff(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "off-", Labels: map[string]string{"macpool.dev/mac-policy": "off"}}}
	if err := api.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	for kind, newObject := range kinds {
		if err := dryCreate(t, newObject(ns.Name, founding)); err != nil {
			t.Errorf("%s in a namespace with the label: %v", kind, err)
		}
	}

	var binding admissionregistrationv1.ValidatingAdmissionPolicyBinding
	if err := load("mac_annotation_binding.yaml", &binding); err != nil {
		t.Fatal(err)
	}
	if err := api.Delete(t.Context(), &binding); err != nil {
		t.Fatal(err)
	}
	g.Eventually(func() error { return dryCreate(t, kinds["Pod"]("default", founding)) }, patience).Should(gomega.Succeed())
	if err := api.Create(t.Context(), &binding); err != nil {
		t.Fatal(err)
	}
	g.Eventually(func() error { return dryCreate(t, kinds["Pod"]("default", founding)) }, patience).ShouldNot(gomega.Succeed())
}
