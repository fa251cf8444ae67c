// SPDX-License-Identifier: Apache-2.0

package network

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	nadutils "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/utils"
)

// FuzzPlainNames : what is read as a list of plain names, Multus reads in the same way.
func FuzzPlainNames(f *testing.F) {
	for _, seed := range []string{
		"iot", "a/b@c,d", "a-b/c-1@net1,2", "a/b/c", "a@b@c", "a@b/c", ",", "a,", "-a", "a-", "a/-", "a@", "/a", "@a", "A", "a b", " a", "a\n", "ä", "", "[", `"a"`, "a.b",
	} {
		f.Add(seed, "home")
	}
	f.Fuzz(func(t *testing.T, annotation, namespace string) {
		got := plainNames(annotation, namespace)
		if got == nil {
			return
		}
		want, err := nadutils.ParseNetworkAnnotation(annotation, namespace)
		if err != nil {
			t.Fatalf("%q is read, and Multus refuses it: %v", annotation, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-Multus +macpool):\n%s", annotation, diff)
		}
	})
}

// What most annotations are takes no regular expression, of which each costs some fifty allocations.
func TestPlainNamesAreCheap(t *testing.T) {
	for _, annotation := range []string{"iot", "network/iot@lan0", "a,b,c"} {
		if plainNames(annotation, "home") == nil {
			t.Errorf("%q is not read as plain names", annotation)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = Selections("network/iot@lan0", "home") }); n > 20 {
		t.Errorf("%.0f allocations for an annotation", n)
	}
}
