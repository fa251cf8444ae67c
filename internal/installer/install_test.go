// SPDX-License-Identifier: Apache-2.0

package installer_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/problem"
)

const bin = "/opt/cni/bin"

func TestInstallUpdateRemove(t *testing.T) {
	n := newNode(t, tree{bin + "/loopback": "theirs"})
	n.install()
	info, err := os.Lstat(filepath.Join(n.host, bin, "macpool"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o755 {
		t.Errorf("macpool has mode %v", info.Mode())
	}

	n.install()
	if again, err := os.Lstat(filepath.Join(n.host, bin, "macpool")); err != nil || !os.SameFile(info, again) {
		t.Errorf("what was in place was replaced (%v)", err)
	}

	n.release("2")
	if err := n.installer().Check(); err == nil {
		t.Error("Check is content with an old release")
	}
	n.install()
	if got := n.read(bin + "/macpool"); got != content("macpool", "2") {
		t.Errorf("after the update macpool is %q", got)
	}

	n.remove()
	n.remove() // what is gone is no error
	if left := entries(t, n, bin); !cmp.Equal(left, []string{"loopback"}) {
		t.Errorf("Remove left %v in %s", left, bin)
	}
	if left := entries(t, n, "/var/lib"); len(left) > 0 {
		t.Errorf("Remove left %v in /var/lib", left)
	}
}

func entries(t *testing.T, n *node, dir string) []string {
	t.Helper()
	all, err := os.ReadDir(filepath.Join(n.host, dir))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, entry := range all {
		names = append(names, entry.Name())
	}
	return names
}

func TestModeIsRestored(t *testing.T) {
	n := newNode(t, nil)
	n.install()
	if err := os.Chmod(filepath.Join(n.host, bin, "macpool"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := n.installer().Check(); err == nil {
		t.Error("Check is content with a plugin that cannot be run")
	}
	n.install()
	info, err := os.Stat(filepath.Join(n.host, bin, "macpool"))
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("macpool is %v, %v", info.Mode(), err)
	}
}

func TestUnfinishedFilesAreSwept(t *testing.T) {
	const ours, theirs = "/.macpool-installer-ABC.tmp", "/.other-installer-ABC.tmp"
	n := newNode(t, tree{bin + ours: "half", bin + theirs: "half", "/var/lib/macpool" + ours: "half"})
	n.install()
	if diff := cmp.Diff([]string{theirs[1:], "macpool"}, entries(t, n, bin)); diff != "" {
		t.Errorf("Install (-want +got)\n%s", diff)
	}
	if n.read("/var/lib/macpool"+ours) != "" {
		t.Error("Install left an unfinished record")
	}
	n.write(bin+ours, "half")
	n.remove()
	if diff := cmp.Diff([]string{theirs[1:]}, entries(t, n, bin)); diff != "" {
		t.Errorf("Remove (-want +got)\n%s", diff)
	}
}

func TestForeignFileSurvives(t *testing.T) {
	n := newNode(t, tree{"/opt/a/macpool": "somebody else's"})
	n.options.BinDirs = []string{"/opt/a", "/opt/b"}
	i := n.installer()
	for what, err := range map[string]error{"Install": i.Install(), "Check": i.Check()} {
		if !problem.ForeignPlugin.Is(err) || !strings.Contains(err.Error(), "/opt/a/macpool") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := n.read("/opt/a/macpool"); got != "somebody else's" {
		t.Errorf("the foreign file is %q now", got)
	}
	if got := n.read("/opt/b/macpool"); got != content("macpool", "1") {
		t.Errorf("in the other directory macpool is %q", got)
	}
	n.remove()
	if diff := cmp.Diff([]string{"/opt/a/macpool"}, n.find("macpool")); diff != "" {
		t.Errorf("after Remove (-want +got)\n%s", diff)
	}
}

// TestNothingIsFollowed has links and a pipe at the name of the plugin: what they lead to stays as it is, and nobody waits.
func TestNothingIsFollowed(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	writeFile(t, victim, "precious")
	for name, link := range map[string]string{
		"absolute":         victim,
		"relative":         "loopback",
		"out of the host":  strings.Repeat("../", 20) + victim,
		"into nothing":     "/nowhere",
		"its own image":    "/cni/macpool",
		"a directory":      "/etc",
		"itself":           "macpool",
		"a file in /proc":  "/proc/self/exe",
		"the host's files": "/etc/passwd",
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, tree{bin + "/loopback": "theirs", "/etc/passwd": "root", bin + "/macpool": "-> " + link})
			if err := n.installer().Install(); !problem.ForeignPlugin.Is(err) {
				t.Errorf("Install: %v", err)
			}
			n.remove()
			if got, err := os.Readlink(filepath.Join(n.host, bin, "macpool")); err != nil || got != link {
				t.Errorf("the link is %q, %v", got, err)
			}
			if n.read(bin+"/loopback") != "theirs" || n.read("/etc/passwd") != "root" {
				t.Error("a file of the host was changed")
			}
		})
	}
	if content, err := os.ReadFile(victim); err != nil || string(content) != "precious" {
		t.Errorf("the file outside is %q, %v", content, err)
	}
}

// TestLinksAreTheHosts has directories behind links, which mean on the host what they say and lead out of it nowhere.
func TestLinksAreTheHosts(t *testing.T) {
	outside := t.TempDir()
	for name, test := range map[string]struct {
		host tree
		want string
	}{
		"absolute":            {tree{"/opt/cni": "-> /srv/cni", "/srv/cni/bin/": ""}, "/srv/cni/bin/macpool"},
		"relative":            {tree{"/opt/cni": "-> ../srv/cni", "/srv/cni/bin/": ""}, "/srv/cni/bin/macpool"},
		"of links":            {tree{"/opt": "-> /a", "/a": "-> b/c", "/b/c/cni/bin": "-> /d", "/d/": ""}, "/d/macpool"},
		"into nothing yet":    {tree{"/opt/cni/bin": "-> /srv/later/bin"}, "/srv/later/bin/macpool"},
		"too many steps up":   {tree{"/opt/cni/bin": "-> " + strings.Repeat("../", 30) + "srv/bin"}, "/srv/bin/macpool"},
		"out of the host":     {tree{"/opt/cni/bin": "-> " + outside}, outside + "/macpool"}, // that path, on the host
		"up behind a link":    {tree{"/opt/cni/bin": "-> /link/../bin", "/link": "-> /x/y", "/x/y/": ""}, "/x/bin/macpool"},
		"through missing one": {tree{"/opt/cni/bin": "-> /missing/../srv"}, "/srv/macpool"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, test.host)
			n.install()
			if diff := cmp.Diff([]string{test.want}, n.find("macpool")); diff != "" {
				t.Errorf("macpool is in (-want +got)\n%s", diff)
			}
		})
	}
	if all, err := os.ReadDir(outside); err != nil || len(all) > 0 {
		t.Errorf("outside of the host are %v, %v", all, err)
	}
}

func TestLinksInACircle(t *testing.T) {
	n := newNode(t, tree{"/opt/a": "-> b", "/opt/b": "-> a"})
	n.options.BinDirs = []string{"/opt/a", "/opt/c"}
	n.install() // the other one serves
	n.options.BinDirs = []string{"/opt/a"}
	if err := n.installer().Install(); !problem.NowhereToInstall.Is(err) {
		t.Errorf("Install: %v", err)
	}
}

func TestReferencePlugins(t *testing.T) {
	n := newNode(t, tree{bin + "/bridge": "the distribution's", bin + "/loopback": "the distribution's"})
	n.options.ReferencePlugins = []string{"macvlan", "bridge"}
	check := func(when string, want map[string]string) {
		t.Helper()
		got := map[string]string{}
		for _, name := range entries(t, n, bin) {
			got[name] = n.read(filepath.Join(bin, name))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", when, diff)
		}
	}
	theirs := "the distribution's"

	n.install()
	check("only what is missing is installed", map[string]string{
		"macpool": content("macpool", "1"), "macvlan": content("macvlan", "1"), "bridge": theirs, "loopback": theirs,
	})

	n.release("2")
	n.install()
	check("what is ours is updated", map[string]string{
		"macpool": content("macpool", "2"), "macvlan": content("macvlan", "2"), "bridge": theirs, "loopback": theirs,
	})

	writeFile(t, filepath.Join(n.host, bin, "macvlan"), theirs) // an upgrade of the distribution brings one
	n.release("3")
	n.install()
	check("what became another's is not", map[string]string{
		"macpool": content("macpool", "3"), "macvlan": theirs, "bridge": theirs, "loopback": theirs,
	})

	n.options.ReferencePlugins = []string{"macvlan", "tuning"}
	n.install()
	n.options.ReferencePlugins = nil // a network may still use what is no longer asked for
	n.install()
	check("what is no longer asked for stays", map[string]string{
		"macpool": content("macpool", "3"), "macvlan": theirs, "tuning": content("tuning", "3"), "bridge": theirs, "loopback": theirs,
	})

	n.remove()
	check("Remove takes away what is ours", map[string]string{"macvlan": theirs, "bridge": theirs, "loopback": theirs})
}

// TestSameReferencePlugin has one of the distribution that happens to be the same: it stays the distribution's.
func TestSameReferencePlugin(t *testing.T) {
	n := newNode(t, tree{bin + "/macvlan": content("macvlan", "1")})
	n.options.ReferencePlugins = []string{"macvlan"}
	n.install()
	n.remove()
	if n.read(bin+"/macvlan") == "" {
		t.Error("Remove took the distribution's plugin away")
	}
}

// TestRemoveByTheRecord has directories that the host's configuration no longer names, and one that is now behind another link.
func TestRemoveByTheRecord(t *testing.T) {
	n := newNode(t, tree{"/var/snap/microk8s/1/opt/cni/bin/": "", "/var/snap/microk8s/current": "-> 1"})
	n.options.ReferencePlugins = []string{"macvlan"}
	n.install()
	n.options.BinDirs = []string{"/opt/other"}
	n.install()

	// A refresh of the snap copies its data.
	if err := os.CopyFS(filepath.Join(n.host, "/var/snap/microk8s/2"), os.DirFS(filepath.Join(n.host, "/var/snap/microk8s/1"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(n.host, "/var/snap/microk8s/current")); err != nil {
		t.Fatal(err)
	}
	n.write("/var/snap/microk8s/current", "-> 2")

	n.options.BinDirs = []string{"/opt/unrelated"}
	n.remove()
	want := []string{"/var/snap/microk8s/1/opt/cni/bin/macpool"} // goes with the old revision
	if diff := cmp.Diff(want, n.find("macpool")); diff != "" {
		t.Errorf("macpool is left in (-want +got)\n%s", diff)
	}
	if left := n.find("macvlan"); len(left) != 1 {
		t.Errorf("macvlan is left in %v", left)
	}
}

func TestDamagedRecord(t *testing.T) {
	n := newNode(t, nil)
	n.options.ReferencePlugins = []string{"macvlan"}
	n.install()
	n.write("/var/lib/macpool/installed.json", "{")
	n.write("/var/lib/macpool/journal", "the agent's")
	n.install()
	n.release("2")
	n.install() // macpool is known again: it was the same
	if got := n.read(bin + "/macpool"); got != content("macpool", "2") {
		t.Errorf("macpool is %q", got)
	}
	n.remove()
	if diff := cmp.Diff([]string{"macvlan"}, entries(t, n, bin)); diff != "" {
		t.Errorf("what nobody knows to be ours stays (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"journal"}, entries(t, n, "/var/lib/macpool")); diff != "" {
		t.Errorf("the agent's state stays (-want +got)\n%s", diff)
	}
}

func TestCheckChangesNothing(t *testing.T) {
	n := newNode(t, tree{"/etc/containerd/config.toml": configuration(containerd2, bin, "/etc/cni/net.d")})
	if err := n.installer().Check(); err == nil {
		t.Error("Check is content with nothing")
	}
	var found []string
	err := fs.WalkDir(os.DirFS(n.host), ".", func(p string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, p)
		}
		return err
	})
	if err != nil || !cmp.Equal(found, []string{"etc/containerd/config.toml"}) {
		t.Errorf("the host has %v, %v", found, err)
	}
}
