// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// validClaim is the claim that the cases edit, with every field of the spec.
func validClaim(namespace string) *v1alpha1.MacClaim {
	return &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: newName("claim")},
		Spec: v1alpha1.MacClaimSpec{
			PoolRef:  v1alpha1.PoolRef{Name: "iot"},
			IPs:      []v1alpha1.IPAddress{"192.168.50.8", "fd00:50::8"},
			MAC:      "02:32:00:a8:32:08",
			Workload: &v1alpha1.Workload{Kind: v1alpha1.WorkloadStatefulSet, Name: "db", Ordinal: ptr.To[int32](0), Interface: "net1"},
			Retain:   &metav1.Duration{Duration: time.Hour},
		},
	}
}

const (
	lowerMAC     = "must be six octets in lower case, separated by colons"
	multicastMAC = "must be a unicast address: the second digit must be even"
	zeroMAC      = "must not be all zero"
)

func TestMacClaimCreate(t *testing.T) {
	for name, tc := range map[string]struct {
		edit       func(fields)
		wantErrors []string
	}{
		"valid":         {},
		"pool only":     {edit: set("spec", map[string]any{"poolRef": map[string]any{"name": "iot"}})},
		"no pool":       {edit: set("spec.poolRef", nil), wantErrors: []string{"spec.poolRef: Required value"}},
		"pool no name":  {edit: set("spec.poolRef.name", ""), wantErrors: []string{"spec.poolRef.name in body should be at least 1 chars long"}},
		"pool too long": {edit: set("spec.poolRef.name", strings.Repeat("a", 64)), wantErrors: []string{"spec.poolRef.name: Too long"}},

		"the founding MAC":     {edit: set("spec.mac", "f1:fd:59:0b:bd:2b"), wantErrors: []string{multicastMAC}},
		"broadcast MAC":        {edit: set("spec.mac", "ff:ff:ff:ff:ff:ff"), wantErrors: []string{multicastMAC}},
		"multicast, universal": {edit: set("spec.mac", "01:00:5e:00:00:01"), wantErrors: []string{multicastMAC}},
		"zero MAC":             {edit: set("spec.mac", "00:00:00:00:00:00"), wantErrors: []string{zeroMAC}},
		"universal MAC":        {edit: set("spec.mac", "00:1b:21:a8:32:08")}, // a reservation may have it
		"upper-case MAC":       {edit: set("spec.mac", "02:32:00:A8:32:08"), wantErrors: []string{lowerMAC}},
		"MAC with hyphens":     {edit: set("spec.mac", "02-32-00-a8-32-08"), wantErrors: []string{lowerMAC}},
		"MAC with dots":        {edit: set("spec.mac", "0232.00a8.3208"), wantErrors: []string{lowerMAC, "should be at least 17 chars long"}},
		"MAC of eight octets":  {edit: set("spec.mac", "02:32:00:a8:32:08:00:00"), wantErrors: []string{"spec.mac: Too long"}},

		"one address":           {edit: set("spec.ips", []any{"192.168.50.8"})},
		"no addresses":          {edit: set("spec.ips", []any{}), wantErrors: []string{"should have at least 1 items"}},
		"two of IPv4":           {edit: set("spec.ips", []any{"192.168.50.8", "192.168.50.9"}), wantErrors: []string{"at most one address of each family"}},
		"two of IPv6":           {edit: set("spec.ips", []any{"fd00:50::8", "fd00:50::9"}), wantErrors: []string{"at most one address of each family"}},
		"three addresses":       {edit: set("spec.ips", []any{"192.168.50.8", "192.168.50.9", "fd00:50::8"}), wantErrors: []string{"must have at most 2 items"}},
		"with a prefix length":  {edit: set("spec.ips", []any{"192.168.50.8/24"}), wantErrors: []string{canonicalIP}},
		"non-canonical IPv6":    {edit: set("spec.ips", []any{"FD00:50::8"}), wantErrors: []string{canonicalIP}},
		"IPv4-mapped":           {edit: set("spec.ips", []any{"::ffff:192.168.50.8"}), wantErrors: []string{canonicalIP}},
		"IPv6 with a zone":      {edit: set("spec.ips", []any{"fe80::8%net1"}), wantErrors: []string{canonicalIP}},
		"IPv4 of three numbers": {edit: set("spec.ips", []any{"192.168.50"}), wantErrors: []string{canonicalIP}},

		"a bare pod":                 {edit: both(set("spec.workload.kind", "Pod"), set("spec.workload.ordinal", nil))},
		"workload without interface": {edit: set("spec.workload.interface", nil), wantErrors: []string{"spec.workload.interface: Required value"}},
		"interface too long":         {edit: set("spec.workload.interface", "sixteen-chars-if"), wantErrors: []string{"spec.workload.interface: Too long"}},
		"workload of another kind":   {edit: both(set("spec.workload.kind", "Deployment"), set("spec.workload.ordinal", nil)), wantErrors: []string{"ordinal must be set"}},
		"a set without an ordinal":   {edit: set("spec.workload.ordinal", nil), wantErrors: []string{"ordinal must be set"}},
		"a deployment":               {edit: set("spec.workload.kind", "Deployment")},
		"a controller of one's own":  {edit: set("spec.workload.kind", "GameServerSet")},
		"a job":                      {edit: set("spec.workload.kind", "Job"), wantErrors: []string{"kind must not be Job or CronJob"}},
		"a daemon set":               {edit: both(set("spec.workload.kind", "DaemonSet"), both(set("spec.workload.ordinal", nil), set("spec.workload.node", "node-1")))},
		"a daemon set without node":  {edit: both(set("spec.workload.kind", "DaemonSet"), set("spec.workload.ordinal", nil)), wantErrors: []string{"node must be set for a DaemonSet"}},
		"a daemon set's ordinal":     {edit: both(set("spec.workload.kind", "DaemonSet"), set("spec.workload.node", "node-1")), wantErrors: []string{"ordinal must not be set"}},
		"a node of another kind":     {edit: set("spec.workload.node", "node-1"), wantErrors: []string{"node must be set for a DaemonSet, and for nothing else"}},
		"preempt":                    {edit: set("spec.handover", "Preempt")},
		"another handover":           {edit: set("spec.handover", "Steal"), wantErrors: []string{"Unsupported value"}},
		"a pod with an ordinal":      {edit: set("spec.workload.kind", "Pod"), wantErrors: []string{"ordinal must not be set for a Pod, a DaemonSet or a VirtualMachine"}},
		"a VM":                       {edit: both(set("spec.workload.kind", "VirtualMachine"), set("spec.workload.ordinal", nil))},
		"a VM with an ordinal":       {edit: set("spec.workload.kind", "VirtualMachine"), wantErrors: []string{"ordinal must not be set for a Pod, a DaemonSet or a VirtualMachine"}},
		"a VM's instance":            {edit: both(set("spec.workload.kind", "VirtualMachineInstance"), set("spec.workload.ordinal", nil)), wantErrors: []string{"kind must be VirtualMachine"}},
		"ordinal -1":                 {edit: set("spec.workload.ordinal", -1), wantErrors: []string{"spec.workload.ordinal in body should be greater than or equal to 0"}},
		"retain negative":            {edit: set("spec.retain", "-1s"), wantErrors: []string{"spec.retain: must be a duration between 0s and 8760h"}},
		"retain too long":            {edit: set("spec.retain", "8760h1s"), wantErrors: []string{"spec.retain: must be a duration between 0s and 8760h"}},
		"retain without a unit":      {edit: set("spec.retain", "60"), wantErrors: []string{"spec.retain: must be a duration between 0s and 8760h"}},
	} {
		t.Run(name, func(t *testing.T) {
			checkErrors(t, dryCreate(t, validClaim("default"), tc.edit), tc.wantErrors)
		})
	}
}

func TestMacClaimUpdate(t *testing.T) {
	full := validClaim(newNamespace(t))
	mustCreate(t, full)
	bare := validClaim(full.Namespace)
	bare.Spec = v1alpha1.MacClaimSpec{PoolRef: bare.Spec.PoolRef}
	mustCreate(t, bare)
	bound := validClaim(full.Namespace)
	bound.Spec = v1alpha1.MacClaimSpec{PoolRef: bare.Spec.PoolRef}
	mustCreate(t, bound)
	hold(t, bound, "node-a")
	for name, tc := range map[string]struct {
		claim      *v1alpha1.MacClaim
		edit       func(fields)
		wantErrors []string
	}{
		"pool":              {full, set("spec.poolRef.name", "other"), []string{"poolRef is immutable"}},
		"addresses":         {full, set("spec.ips.0", "192.168.50.9"), []string{"ips is immutable"}},
		"addresses removed": {full, set("spec.ips", nil), []string{"ips is immutable"}},
		"addresses added":   {bare, set("spec.ips", []any{"192.168.50.9"}), []string{"ips is immutable"}},
		"its own addresses": {bound, set("spec.ips", []any{"192.168.50.8", "fd00:50::8"}), nil},
		"others than its":   {bound, set("spec.ips", []any{"192.168.50.9"}), []string{"ips is immutable, except that the addresses that the claim has may be written down"}},
		"its own MAC":       {bound, set("spec.mac", "02:32:00:a8:32:08"), nil},
		"another than its":  {bound, set("spec.mac", "02:32:00:a8:32:09"), []string{"mac is immutable, except that the MAC that the claim has may be written down"}},
		"mac":               {full, set("spec.mac", "02:32:00:a8:32:09"), []string{"mac is immutable"}},
		"mac removed":       {full, set("spec.mac", nil), []string{"mac is immutable"}},
		"mac added":         {bare, set("spec.mac", "02:32:00:a8:32:09"), []string{"mac is immutable"}},
		"workload":          {full, set("spec.workload.name", "other"), []string{"workload is immutable"}},
		"workload removed":  {full, set("spec.workload", nil), []string{"workload is immutable"}},
		"workload added":    {bare, set("spec.workload", map[string]any{"kind": "Pod", "name": "p", "interface": "net1"}), []string{"workload is immutable"}},
		"retain":            {full, set("spec.retain", "2h"), nil},
		"retain removed":    {full, set("spec.retain", nil), nil},
		"labels":            {full, set("metadata.labels", map[string]any{"app": "camera"}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			checkErrors(t, dryUpdate(t, tc.claim, tc.edit), tc.wantErrors)
		})
	}
}

// TestMacClaimStatus is of the status subresource: it is written by it alone, and it is bounded.
func TestMacClaimStatus(t *testing.T) {
	claim := validClaim(newNamespace(t))
	claim.Status.MAC = "02:32:00:a8:32:08"
	mustCreate(t, claim)
	if claim.Status.MAC != "" {
		t.Errorf("a create wrote status.mac %s", claim.Status.MAC)
	}
	hold(t, claim, "node-a")
	past := map[string]any{"podName": "db-0", "podUID": "uid", "nodeName": "node-a", "since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:01:00Z"}
	ofVM := set("status.holder.instanceUID", "vmi-1")
	alternate := func(instance, uid, node string) func(fields) {
		return set("status.alternate", map[string]any{
			"podName": "virt-launcher-vm-b", "podUID": uid, "nodeName": node, "interface": "net1", "instanceUID": instance, "generation": int64(2),
			"since": "2026-01-01T00:00:00Z",
		})
	}
	refused := []string{"alternate must be another pod of the holder's VirtualMachineInstance, on another node"}
	for name, tc := range map[string]struct {
		edit       func(fields)
		wantErrors []string
	}{
		"same":                       {},
		"an alternate (R-G6)":        {both(ofVM, alternate("vmi-1", "uid-2", "node-b")), nil},
		"alternate of another":       {both(ofVM, alternate("vmi-2", "uid-2", "node-b")), refused},
		"alternate of no VM's":       {alternate("vmi-1", "uid-2", "node-b"), refused},
		"alternate of the node":      {both(ofVM, alternate("vmi-1", "uid-2", "node-a")), refused},
		"alternate, the same pod":    {both(ofVM, alternate("vmi-1", "uid", "node-b")), refused},
		"alternate alone":            {both(set("status.holder", nil), alternate("vmi-1", "uid-2", "node-b")), refused},
		"holder without UID":         {set("status.holder.podUID", ""), []string{"status.holder.podUID: holder.podUID in body should be at least 1 chars long"}},
		"holder without a node":      {set("status.holder.nodeName", nil), []string{"status.holder.nodeName: Required value"}},
		"holder of no generation":    {set("status.holder.generation", 0), []string{"status.holder.generation: holder.generation in body should be greater than or equal to 1"}},
		"a previous holder":          {set("status.previousHolders", []any{past}), nil},
		"too many previous holders":  {set("status.previousHolders", slices.Repeat([]any{past}, v1alpha1.MaxPreviousHolders+1)), []string{"must have at most 8 items"}},
		"condition without a reason": {set("status.conditions", []any{map[string]any{"type": "Ready", "status": "True"}}), []string{"status.conditions[0].reason: Required value", "status.conditions[0].message: Required value", "status.conditions[0].lastTransitionTime: Required value"}},
	} {
		t.Run(name, func(t *testing.T) {
			checkStatus(t, claim, tc.edit, tc.wantErrors)
		})
	}
}

func checkStatus(t *testing.T, claim *v1alpha1.MacClaim, edit func(fields), want []string) {
	t.Helper()
	checkErrors(t, api.Status().Update(t.Context(), edited(t, claim, edit), client.DryRunAll), want)
}

// hold gives the claim a lease and a holder on a node.
func hold(t *testing.T, claim *v1alpha1.MacClaim, node string) {
	t.Helper()
	now := metav1.Now()
	claim.Status = v1alpha1.MacClaimStatus{
		VLAN: ptr.To[int32](50), MAC: "02:32:00:a8:32:08", IPs: []string{"192.168.50.8", "fd00:50::8"}, LeaseName: "vlan-50.192.168.50.8",
		Holder: &v1alpha1.Holder{
			PodName: "db-0", PodUID: types.UID("uid"), NodeName: node, Interface: "net1", Generation: 1, Since: now,
		},
		Generation: 1,
		Conditions: []metav1.Condition{{
			Type: v1alpha1.ClaimReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ClaimReasonBound, LastTransitionTime: now,
		}},
	}
	if err := api.Status().Update(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
}

// TestMacClaimsOfANode is of the field selector by which an agent watches the claims of its node and no others.
func TestMacClaimsOfANode(t *testing.T) {
	namespace := newNamespace(t)
	for name, node := range map[string]string{"a": "node-a", "b": "node-b", "c": "node-a", "waiting": ""} {
		claim := validClaim(namespace)
		claim.Name = name
		mustCreate(t, claim)
		if node != "" {
			hold(t, claim, node)
		}
	}
	for node, want := range map[string][]string{"node-a": {"a", "c"}, "node-b": {"b"}, "node-c": nil, "": {"waiting"}} {
		var list v1alpha1.MacClaimList
		if err := api.List(t.Context(), &list, client.InNamespace(namespace), client.MatchingFields{"status.holder.nodeName": node}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range list.Items {
			got = append(got, list.Items[i].Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("claims of node %q (-want +got):\n%s", node, diff)
		}
	}
}
