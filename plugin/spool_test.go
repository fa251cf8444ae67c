// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/agentapi"
)

// spooled are the requests in the spool.
func spooled(t *testing.T, dir string) []agentapi.Request {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var requests []agentapi.Request
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s was left behind", e.Name())
			continue
		}
		data, err := fs.ReadFile(os.DirFS(dir), e.Name())
		if err != nil {
			t.Fatal(err)
		}
		var req agentapi.Request
		if err := json.Unmarshal(data, &req); err != nil {
			t.Fatal(err)
		}
		requests = append(requests, req)
	}
	return requests
}

func TestSpool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "spool")
	one := agentapi.Request{Command: agentapi.Del, ContainerID: "c1", Interface: "net1", Pool: "iot"}
	other := agentapi.Request{Command: agentapi.Del, ContainerID: "c1", Interface: "net2"}
	for _, req := range []agentapi.Request{one, one, other} {
		if err := spool(dir, &req); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]agentapi.Request{one, other}, spooled(t, dir)); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v, want a directory that is root's alone", info.Mode(), err)
	}
}

func TestSpoolRefusesLinks(t *testing.T) {
	elsewhere, state := t.TempDir(), t.TempDir()
	dir := filepath.Join(state, "spool")
	if err := os.Symlink(elsewhere, dir); err != nil {
		t.Fatal(err)
	}
	if err := spool(dir, &agentapi.Request{ContainerID: "c1", Interface: "net1"}); err == nil {
		t.Error("a symbolic link was taken for the spool")
	}
	if got := spooled(t, elsewhere); len(got) != 0 {
		t.Errorf("got %v where the link leads", got)
	}
}

// A link under the name of the file itself is replaced, not followed.
func TestSpoolReplacesLinks(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	victim := filepath.Join(elsewhere, "victim")
	if err := os.WriteFile(victim, []byte("as it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	req := agentapi.Request{Command: agentapi.Del, ContainerID: "c1", Interface: "net1"}
	if err := os.Symlink(victim, filepath.Join(dir, spoolName(&req))); err != nil {
		t.Fatal(err)
	}
	if err := spool(dir, &req); err != nil {
		t.Fatal(err)
	}
	if got, err := fs.ReadFile(os.DirFS(elsewhere), "victim"); err != nil || string(got) != "as it was" {
		t.Errorf("got %q, %v", got, err)
	}
	if got := spooled(t, dir); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestSpoolName(t *testing.T) {
	long := strings.Repeat("c", 300)
	ids := []string{"c1", "C1", "c1.", "c1/net1", "c1%2fnet1", "..", ".", "", "a\x00b", "ä", long, long + "d", "c1@net1"}
	seen := map[string]string{} // name -> what has it
	for _, id := range ids {
		for _, iface := range []string{"net1", "net2", "eth0.50", "..", "a@b"} {
			checkSpoolName(t, id, iface)
			name := spoolName(&agentapi.Request{ContainerID: id, Interface: iface})
			if other, ok := seen[name]; ok {
				t.Errorf("%q is the name of %q and of %q", name, other, id+" "+iface)
			}
			seen[name] = id + " " + iface
		}
	}
}

var safeName = regexp.MustCompile(`^[A-Za-z0-9_%-][A-Za-z0-9_%.~@-]*\.json$|^@[A-Za-z0-9_%.-]*\.json$`)

func checkSpoolName(t *testing.T, id, iface string) {
	t.Helper()
	if len(iface) > 15 { // skel lets no longer one pass, and the kernel neither
		return
	}
	name := spoolName(&agentapi.Request{ContainerID: id, Interface: iface})
	if !safeName.MatchString(name) || len(name) > 255 {
		t.Errorf("%q %q: got %q", id, iface, name)
	}
}
