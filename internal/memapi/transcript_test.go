// SPDX-License-Identifier: Apache-2.0

package memapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// transcript is what a server answered to a table of operations, in words that are the same for two servers that decide alike:
// UIDs and resourceVersions are numbered in the order in which they came up.
type transcript struct {
	t *testing.T
	client.Client
	ns string

	lines          []string
	uids, versions map[string]string
}

func newTranscript(t *testing.T, c client.Client, ns string) *transcript {
	t.Helper()
	return &transcript{t: t, Client: c, ns: ns, uids: map[string]string{}, versions: map[string]string{}}
}

// note writes down an outcome: the object as the caller has it now, or the reason of the refusal.
func (x *transcript) note(what string, object client.Object, err error) {
	x.t.Helper()
	if err != nil {
		x.lines = append(x.lines, what+": "+strings.ReplaceAll(refusal(err), x.ns, "NS"))
		return
	}
	x.lines = append(x.lines, what+": "+x.text(object))
}

// refusal is what programs look at in an error.
func refusal(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return err.Error()
	}
	s := status.Status()
	text := fmt.Sprintf("%d %s", s.Code, s.Reason)
	if s.Details == nil {
		return text
	}
	text += " " + s.Details.Kind + " " + s.Details.Name
	for _, c := range s.Details.Causes {
		if cause := fmt.Sprintf(" (%s %s)", c.Type, c.Field); c.Type != "" && !strings.HasSuffix(text, cause) {
			text += cause
		}
	}
	return text
}

func (x *transcript) text(object client.Object) string {
	if object == nil {
		return "done"
	}
	text, err := json.Marshal(object)
	if err != nil {
		x.t.Fatal(err)
	}
	fields := map[string]any{}
	if err := json.Unmarshal(text, &fields); err != nil {
		x.t.Fatal(err)
	}
	delete(fields, "kind")
	delete(fields, "apiVersion")
	meta, _ := fields["metadata"].(map[string]any)
	delete(meta, "managedFields")
	for _, name := range []string{"creationTimestamp", "deletionTimestamp"} {
		if meta[name] != nil {
			meta[name] = "set"
		}
	}
	number(meta, "uid", x.uids)
	number(meta, "resourceVersion", x.versions)
	if _, isPod := object.(*corev1.Pod); isPod {
		// What the real server fills in of a pod concerns nobody here.
		spec, _ := fields["spec"].(map[string]any)
		status, _ := fields["status"].(map[string]any)
		fields["spec"] = map[string]any{"nodeName": spec["nodeName"]}
		fields["status"] = map[string]any{"phase": status["phase"]}
	}
	if text, err = json.Marshal(fields); err != nil {
		x.t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), x.ns, "NS")
}

func number(meta map[string]any, field string, seen map[string]string) {
	value, ok := meta[field].(string)
	if !ok {
		return
	}
	if seen[value] == "" {
		seen[value] = fmt.Sprintf("%s-%d", field, len(seen)+1)
	}
	meta[field] = seen[value]
}

func (x *transcript) claim(name string, change ...func(*v1alpha1.MacClaim)) *v1alpha1.MacClaim {
	c := &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: x.ns, Name: name, Labels: map[string]string{"made-by": "table"}},
		Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: "iot"}},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func (x *transcript) lease(address string) *v1alpha1.MacLease {
	return &v1alpha1.MacLease{
		ObjectMeta: metav1.ObjectMeta{Name: x.ns + "." + address, Labels: map[string]string{v1alpha1.LabelSegment: x.ns}},
		Spec: v1alpha1.MacLeaseSpec{
			PoolName: "iot", MAC: "02:32:00:a8:32:08", IPs: []v1alpha1.IPAddress{"192.168.50.8"},
			ClaimRef: v1alpha1.ClaimRef{Namespace: x.ns, Name: "a", UID: "1"}, LeasedAt: metav1.Unix(1_700_000_000, 0),
		},
	}
}

func (x *transcript) pod(name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: x.ns, Name: name},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main", Image: "main"}}},
	}
}

// again reads the object into a fresh one.
func again[T client.Object](x *transcript, what string, object T) T {
	x.t.Helper()
	fresh, ok := object.DeepCopyObject().(T)
	if !ok {
		x.t.Fatalf("a copy of %T is none", object)
	}
	x.note(what, fresh, x.Get(x.t.Context(), client.ObjectKeyFromObject(object), fresh))
	return fresh
}

func copied[T client.Object](object T) T {
	c, _ := object.DeepCopyObject().(T)
	return c
}

func held(name string, generation int64) *v1alpha1.Holder {
	return &v1alpha1.Holder{PodName: name, PodUID: "7", NodeName: "node-a", Interface: "net1", Generation: generation, Since: metav1.Unix(1_700_000_000, 0)}
}

func (x *transcript) page(ctx context.Context, what string, options ...client.ListOption) {
	var leases v1alpha1.MacLeaseList
	err := x.List(ctx, &leases, options...)
	if err != nil {
		x.note(what, nil, err)
		return
	}
	names := make([]string, 0, len(leases.Items))
	for _, l := range leases.Items {
		names = append(names, strings.ReplaceAll(l.Name, x.ns, "NS"))
	}
	x.lines = append(x.lines, fmt.Sprintf("%s: %v, more: %t", what, names, leases.Continue != ""))
	if leases.Continue != "" {
		x.page(ctx, what+", next", append(options, client.Continue(leases.Continue))...)
	}
}
