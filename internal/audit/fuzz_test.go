// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
)

// FuzzRecord : T19, R-O2. Whatever stands in the objects, which agents write and the API server takes as it comes, a record is one line of JSON that
// says it: nobody writes a second record, or an escape sequence, into the audit.
func FuzzRecord(f *testing.F) {
	f.Add("db-0", "node-1", "the agent of node node-1 attests that no interface of it is left")
	f.Add("x\n{\"msg\":\"audit\",\"event\":\"leased\"}", "\x1b[2J\r", "\"}\n")
	f.Add("\x00\x1f\b", "\xff\u009b", "\u2028</script>")
	f.Fuzz(func(t *testing.T, pod, node, evidence string) {
		claim := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "db"}}
		claim.Status.MAC, claim.Status.IPs = node, []string{pod, evidence}
		record := OfHolder(Unheld, claim, &v1alpha1.Holder{PodName: pod, PodUID: types.UID(evidence), NodeName: node, Interface: pod})
		record.Evidence, record.Reason = evidence, v1alpha1.EndReason(node)
		w := &writes{}
		New(w).Write(t.Context(), record)
		if w.n != 1 || strings.Count(w.String(), "\n") != 1 || strings.ContainsFunc(strings.TrimSuffix(w.String(), "\n"), func(r rune) bool { return r < ' ' }) {
			t.Fatalf("%d writes: %q", w.n, w.String())
		}
		var got struct{ Event, Pod, Node, Evidence string }
		if err := json.Unmarshal(w.Bytes(), &got); err != nil {
			t.Fatalf("%q: %v", w.String(), err)
		}
		for _, field := range [][2]string{{got.Event, string(Unheld)}, {got.Pod, pod}, {got.Node, node}, {got.Evidence, evidence}} {
			if field[0] != strings.ToValidUTF8(field[1], "\ufffd") && len(field[0]) <= len(field[1]) { // each wrong byte is one U+FFFD there
				t.Errorf("%q is recorded as %q", field[1], field[0])
			}
		}
	})
}

// writes counts them.
type writes struct {
	bytes.Buffer

	n int
}

func (w *writes) Write(p []byte) (int, error) {
	w.n++
	return w.Buffer.Write(p)
}
