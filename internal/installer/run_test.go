// SPDX-License-Identifier: Apache-2.0

package installer_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/gomega"
)

// run starts Run, which ends with the test or by the function that it returns.
func (n *node) run() (stop func()) {
	n.t.Helper()
	ctx, cancel := context.WithCancel(n.t.Context())
	done := make(chan error, 1)
	i := n.installer()
	go func() { done <- i.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			n.t.Error("Run: ", err)
		}
		done <- nil
	}
	n.t.Cleanup(stop)
	return stop
}

// becomes waits until a file of the host has this content.
func (n *node) becomes(p, want string) {
	n.t.Helper()
	gomega.NewWithT(n.t).Eventually(func() string { return n.read(p) }).WithTimeout(30*time.Second).WithPolling(10*time.Millisecond).
		Should(gomega.Equal(want), p)
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// TestRunSeesChanges changes what is installed in every way in which an upgrade of a distribution does. The clock is of no
// help: only who watches sees it in time.
func TestRunSeesChanges(t *testing.T) {
	for name, test := range map[string]struct {
		host   tree
		file   string
		change func(n *node)
	}{
		"the file is removed": {file: bin + "/macpool", change: func(n *node) {
			n.must(os.Remove(filepath.Join(n.host, bin, "macpool")))
		}},
		"the file cannot be run": {file: bin + "/macpool", change: func(n *node) {
			n.must(os.Remove(filepath.Join(n.host, bin, "macpool")))
			n.must(os.WriteFile(filepath.Join(n.host, bin, "macpool"), []byte(content("macpool", "1")), 0o600))
			gomega.NewWithT(n.t).Eventually(func() (os.FileMode, error) {
				info, err := os.Stat(filepath.Join(n.host, bin, "macpool"))
				if err != nil {
					return 0, err
				}
				return info.Mode(), nil
			}).WithTimeout(30 * time.Second).Should(gomega.Equal(os.FileMode(0o755)))
		}},
		"a foreign file comes and goes": {file: bin + "/macpool", change: func(n *node) {
			file := filepath.Join(n.host, bin, "macpool")
			n.must(os.WriteFile(file+".new", []byte("foreign"), 0o755))
			n.must(os.Rename(file+".new", file))
			n.must(os.Remove(file))
		}},
		"the directory is replaced": {file: bin + "/macpool", change: func(n *node) {
			dir := filepath.Join(n.host, bin)
			n.must(os.RemoveAll(dir + ".old"))
			n.must(os.Mkdir(dir+".new", 0o755))
			n.must(os.Rename(dir, dir+".old"))
			n.must(os.Rename(dir+".new", dir))
		}},
		"the directory is removed": {file: bin + "/macpool", change: func(n *node) {
			dir := filepath.Join(n.host, bin)
			n.must(os.Rename(dir, dir+".old")) // at once: the installer may be at work in it
			n.must(os.RemoveAll(dir + ".old"))
		}},
		"the directories above are replaced": {file: bin + "/macpool", change: func(n *node) {
			n.must(os.RemoveAll(filepath.Join(n.host, "/opt.old")))
			n.must(os.Rename(filepath.Join(n.host, "/opt"), filepath.Join(n.host, "/opt.old")))
			n.must(os.MkdirAll(filepath.Join(n.host, bin), 0o755))
		}},
		"the link leads elsewhere": {
			host: tree{"/var/snap/microk8s/current": "-> x", "/var/snap/microk8s/x/opt/cni/bin/": ""},
			file: "/var/snap/microk8s/current/opt/cni/bin/macpool", change: func(n *node) {
				link := filepath.Join(n.host, "/var/snap/microk8s/current")
				now, err := os.Readlink(link)
				n.must(err)
				n.write("/var/snap/microk8s/"+now+"x/opt/cni/bin/", "")
				n.must(os.Symlink(now+"x", link+".new"))
				n.must(os.Rename(link+".new", link))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, test.host)
			n.options.Interval, n.options.Debounce = time.Hour, 5*time.Millisecond
			n.run()
			want := content("macpool", "1")
			n.becomes(test.file, want)
			for range 3 { // the second time, the directory is one that was not there at the start
				// Until the installer rests: it looks again after it has begun to watch, and that would prove nothing.
				time.Sleep(20 * n.options.Debounce)
				test.change(n)
				n.becomes(test.file, want)
			}
		})
	}
}

// TestRunLooksByTheClock has a configuration that changes, which is not watched.
func TestRunLooksByTheClock(t *testing.T) {
	n := newNode(t, nil)
	n.options.Interval = 20 * time.Millisecond
	n.run()
	n.becomes(bin+"/macpool", content("macpool", "1"))
	n.write("/etc/containerd/config.toml", configuration(containerd2, "/opt/later", "/etc/cni/net.d"))
	n.becomes("/opt/later/macpool", content("macpool", "1"))
}

// TestRunSurvivesErrors has a foreign file from the start, which somebody moves away.
func TestRunSurvivesErrors(t *testing.T) {
	n := newNode(t, tree{bin + "/macpool": "foreign", "/opt/other/": ""})
	n.options.BinDirs = []string{bin, "/opt/other"}
	n.options.Interval, n.options.Debounce = time.Hour, 5*time.Millisecond
	n.run()
	n.becomes("/opt/other/macpool", content("macpool", "1"))
	if err := n.installer().Check(); err == nil {
		t.Error("Check is content with a foreign file")
	}
	n.must(os.Rename(filepath.Join(n.host, bin, "macpool"), filepath.Join(n.host, "/opt/moved")))
	n.becomes(bin+"/macpool", content("macpool", "1"))
	gomega.NewWithT(t).Eventually(n.installer().Check).WithTimeout(30 * time.Second).Should(gomega.Succeed())
}

// TestRunLeavesThePlugin is of the end of the DaemonSet: pods that end later need the plugin.
func TestRunLeavesThePlugin(t *testing.T) {
	n := newNode(t, nil)
	stop := n.run()
	n.becomes(bin+"/macpool", content("macpool", "1"))
	stop()
	if n.read(bin+"/macpool") == "" {
		t.Error("the plugin went with its installer")
	}
}
