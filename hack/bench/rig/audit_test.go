// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestAuditLog reads a log that grows: each request once, a line when it is whole, and no watch.
func TestAuditLog(t *testing.T) {
	l := &AuditLog{Path: filepath.Join(t.TempDir(), "audit.log")}
	file, err := os.Create(l.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, step := range []struct {
		written string
		want    []Request
	}{
		{"", nil},
		{
			`{"verb": "get", "requestURI": "/x", "user": {"username": "a"}, "objectRef": {"resource": "pods"}, "responseObject": {"a": 1}}
{"verb": "watch", "user": {"username": "a"}}
{"verb": "upda`,
			[]Request{{User: "a", Verb: "get", URI: "/x", Resource: "pods", Received: len(`{"a": 1}`)}},
		},
		{
			`te", "user": {"username": "b"}, "objectRef": {"resource": "macclaims", "subresource": "status"}, "requestObject": {}}` + "\n",
			[]Request{{User: "b", Verb: "update", Resource: "macclaims/status", Sent: len("{}")}},
		},
	} {
		if _, err := file.WriteString(step.written); err != nil {
			t.Fatal(err)
		}
		got, err := l.Next()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("after %q (-want +got):\n%s", step.written, diff)
		}
	}
	if _, err := file.WriteString("nonsense\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Next(); err == nil {
		t.Error("nonsense is an audit log")
	}
}
