// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hostDirs are where macpool writes on a node, and where it could: the installer has all of the host's files. Mounts below are left out, but
// for those that are named: what a kubelet has for pods in memory is no file of the host.
var hostDirs = []string{"/opt/cni", "/etc/cni", "/etc", "/run", "/var/lib/macpool", "/var/lib/cni", "/var/lib/kubelet", "/var/log/pods"}

// othersCredentials are not macpool's.
var othersCredentials = map[string]string{
	"/etc/cni/net.d/multus.d": "Multus' own kubeconfig",
	"/var/lib/kubelet/pki":    "the kubelet's own certificate",
}

// TestNoCredentialOnTheHost looks through every file on the nodes for a token, a private key, or part of the agent's present token (R-S1), after
// macpool's installation, a storm of ADDs and DELs, and all that the tests before it have done: the file's name makes it one of the last.
func TestNoCredentialOnTheHost(t *testing.T) {
	ns := newTestNamespace(t, "storm")
	apply(t, ns, deployment("storm", 6))
	running(t, ns, "storm", 6)
	kubectl(t, "delete", "pods", "-n", ns, "-l", "app=storm", "--wait=true")
	running(t, ns, "storm", 6)

	for _, node := range nodeNames(t) {
		t.Run(node, func(t *testing.T) {
			root, token := nodeRoot(t, node), tokenOf(t, &podsOf(t, "agent", node)[0])
			found, files := scan(t, root, token)
			if len(found) > 0 {
				t.Errorf("files hold credentials: %v", found)
			}
			journal := slices.ContainsFunc(files, func(name string) bool { return strings.HasPrefix(name, "/var/lib/macpool/") })
			if !slices.Contains(files, "/opt/cni/bin/macpool") || !journal {
				t.Errorf("of the %d files that were looked at some of macpool's are missing", len(files))
			}
			t.Logf("%d files hold no credential", len(files))

			want := plant(t, root, token)
			if found, _ := scan(t, root, token); !maps.Equal(found, want) {
				t.Errorf("of what was put there this was found (+):\n%s", cmp.Diff(want, found))
			}
		})
	}
}

var (
	jwt        = regexp.MustCompile(`eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,}`)
	privateKey = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{16,}`)
	// encodedPEM is the beginning of a PEM block in base64, as kubeconfigs have it.
	encodedPEM = regexp.MustCompile(`LS0tLS1CRUdJTi[A-Za-z0-9+/]+`)
)

// credentialIn says what a file's content can be used as, or as part of what; "" if there is nothing.
func credentialIn(content []byte, token string) string {
	signature := token[strings.LastIndexByte(token, '.')+1:]
	switch {
	case bytes.Contains(content, []byte(signature)):
		return "the agent's token"
	case jwt.Match(content):
		return "a token"
	case privateKey.Match(content):
		return "a private key"
	}
	for _, block := range encodedPEM.FindAll(content, -1) {
		text, err := base64.RawStdEncoding.DecodeString(string(block[:len(block)/4*4]))
		if err == nil && privateKey.Match(text) {
			return "a private key in base64"
		}
	}
	return ""
}

// scan looks at all files of hostDirs that have come or were changed since the cluster was made, and returns those that hold a credential, with
// what it is, and the names of all. Files of the machine itself that are older are nobody's here.
func scan(t *testing.T, root, token string) (found map[string]string, files []string) {
	t.Helper()
	made, err := os.Stat(filepath.Join(box.dir, "settings"))
	if err != nil {
		t.Fatal(err)
	}
	found = map[string]string{}
	for _, dir := range hostDirs {
		var device uint64
		err := filepath.WalkDir(root+dir, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it went meanwhile, or is not of every node
			}
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return nil //nolint:nilerr // it went meanwhile
			}
			name := strings.TrimPrefix(path, root)
			stat, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return fmt.Errorf("%s has no inode", name)
			}
			if name == dir {
				device = stat.Dev
			}
			switch {
			case entry.IsDir() && (stat.Dev != device || othersCredentials[name] != ""):
				return fs.SkipDir
			case !entry.Type().IsRegular(), stat.Dev != device, time.Unix(stat.Ctim.Unix()).Before(made.ModTime()):
				return nil
			}
			content, err := os.ReadFile(path) //nolint:gosec // G122: a link in the place of a file would be of a node that is ours
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if what := credentialIn(content, token); what != "" {
				found[name] = what
			}
			files = append(files, name)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found, files
}

// plant puts credentials onto a node in all forms that are looked for, and returns what is to be found where.
func plant(t *testing.T, root, token string) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	parts := strings.Split(token, ".")
	planted := map[string]struct{ what, content string }{
		"/run/macpool/planted":                 {"the agent's token", "token: " + token + "\n"},
		"/var/lib/macpool/deep/planted":        {"the agent's token", "\x00\x01" + parts[2] + "\x00"},
		"/opt/cni/bin/planted":                 {"a token", parts[0] + "." + parts[1] + "." + strings.Repeat("x", len(parts[2]))},
		"/etc/cni/net.d/planted":               {"a private key", string(block)},
		"/etc/cni/net.d/macpool.d/kubeconfig":  {"a private key in base64", "client-key-data: " + base64.StdEncoding.EncodeToString(block) + "\n"},
		"/etc/macpool-planted/config":          {"a private key", strings.ReplaceAll(string(block), "\n", "\r\n")},
		"/var/log/pods/planted/agent/0.log":    {"the agent's token", "2026-01-01 stderr F Authorization: Bearer " + token + "\n"},
		"/var/lib/kubelet/planted/.hidden.tmp": {"the agent's token", token},
	}
	want := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(planted)) {
		dir := filepath.Dir(root + name)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
		}
		t.Cleanup(func() { _ = os.Remove(root + name) })
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(root+name, []byte(planted[name].content), 0o600)); err != nil {
			t.Fatal(err)
		}
		want[name] = planted[name].what
	}
	return want
}
