// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Auto is the platform that is told by the host.
const Auto = "auto"

// Target is a directory for plugins.
type Target struct {
	// Dir is its path on the host.
	Dir string
	// Source says who looks there: a file of configuration, or a platform.
	Source string

	// runtime: the container runtime is told to look there.
	runtime bool
}

// platform is a row of the table.
type platform struct {
	name string
	// present tells whether the host is of this platform.
	present func(*host) bool
	// bins are the directories of its plugins; the first that is there counts, the first one if none is.
	bins []binDir
	// confs are its directories of CNI configurations, where Multus' stands.
	confs []string
}

// binDir is a directory of plugins.
type binDir struct {
	dir string
	// with is a file in it without which it is not one; any directory is one if empty.
	with string
}

// platforms is where distributions keep CNI plugins, and how a host shows which it is. A host can be of several rows: an
// OpenShift node is one with CRI-O. The path of a k3s before October 2024 changes with its releases.
var platforms = []platform{
	{
		name:    "k3s",
		present: dirs("/var/lib/rancher/k3s/data", "/var/lib/rancher/k3s/agent"),
		// The last is that of old k3d, whose nodes are containers of k3s' image.
		bins:  []binDir{{dir: "/var/lib/rancher/k3s/data/cni"}, {dir: "/var/lib/rancher/k3s/data/current/bin"}, {dir: "/bin", with: "cni"}},
		confs: []string{"/var/lib/rancher/k3s/agent/etc/cni/net.d"},
	},
	{
		name:    "rke2",
		present: dirs("/var/lib/rancher/rke2/agent"),
		bins:    []binDir{{dir: defaultBinDir}},
		confs:   []string{"/etc/cni/net.d"},
	},
	{
		name:    "talos",
		present: func(h *host) bool { return h.osRelease("ID") == "talos" },
		bins:    []binDir{{dir: defaultBinDir}},
		confs:   []string{"/etc/cni/net.d"},
	},
	{
		name:    "microk8s",
		present: dirs("/var/snap/microk8s/current"),
		bins:    []binDir{{dir: "/var/snap/microk8s/current/opt/cni/bin"}},
		confs:   []string{"/var/snap/microk8s/current/args/cni-network"},
	},
	{
		name: "openshift",
		present: func(h *host) bool {
			return h.osRelease("OPENSHIFT_VERSION") != "" || slices.Contains([]string{"rhcos", "scos"}, h.osRelease("ID")) || h.isDir("/var/lib/cni/bin")
		},
		bins:  []binDir{{dir: "/var/lib/cni/bin"}},
		confs: []string{"/etc/kubernetes/cni/net.d", "/etc/cni/net.d"},
	},
	{
		name:    "gke",
		present: dirs("/home/kubernetes/bin"),
		bins:    []binDir{{dir: "/home/kubernetes/bin"}},
		confs:   []string{"/etc/cni/net.d"},
	},
	{
		name:    "crio",
		present: func(h *host) bool { return h.isDir("/etc/crio") && h.isDir("/usr/libexec/cni") },
		bins:    []binDir{{dir: "/usr/libexec/cni"}},
		confs:   []string{"/etc/cni/net.d"},
	},
	{
		name:    "kubeadm",
		present: func(*host) bool { return false }, // is what a host is that shows nothing else
		bins:    []binDir{{dir: defaultBinDir}},
		confs:   []string{"/etc/cni/net.d"},
	},
}

// Platforms are the names that Options.Platform can have.
func Platforms() []string {
	names := []string{Auto}
	for _, p := range platforms {
		names = append(names, p.name)
	}
	return names
}

// dirs tells whether a host has one of the directories.
func dirs(paths ...string) func(*host) bool {
	return func(h *host) bool { return slices.ContainsFunc(paths, h.isDir) }
}

// target is the directory of p on this host.
func (p *platform) target(h *host) Target {
	i := slices.IndexFunc(p.bins, func(b binDir) bool {
		return h.isDir(b.dir) && (b.with == "" || h.isFile(path.Join(b.dir, b.with)))
	})
	return Target{Dir: p.bins[max(i, 0)].dir, Source: p.name}
}

// osRelease is the value of a key of the host's os-release.
func (h *host) osRelease(key string) string {
	for _, file := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		content, err := h.readFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(content)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
				return strings.Trim(value, `"'`)
			}
		}
		return ""
	}
	return ""
}

// targets are the directories to install into, none twice however they are called, and what could not be read on the way.
func (h *host) targets(platformName string, binDirs []string) ([]Target, []string, error) {
	var f findings
	switch i := slices.IndexFunc(platforms, func(p platform) bool { return p.name == platformName }); {
	case len(binDirs) > 0:
		for _, dir := range binDirs {
			f.addBin(dir, "--bin-dir", true)
		}
		if len(f.warnings) > 0 {
			return nil, nil, fmt.Errorf("reading the settings: %s", f.warnings[0])
		}
	case i >= 0:
		f.bins = []Target{platforms[i].target(h)}
	case platformName == Auto:
		f = h.detect()
	default:
		return nil, nil, fmt.Errorf("reading the settings: platform %q is none of %s", platformName, strings.Join(Platforms(), ", "))
	}

	seen := map[string]int{} // real path -> index of its target
	var targets []Target
	for _, t := range f.bins {
		where, err := h.resolve(t.Dir)
		if err != nil {
			f.warnings = append(f.warnings, fmt.Sprintf("%s: %v", t.Source, err))
			continue
		}
		i, known := seen[where.real]
		if !known {
			seen[where.real] = len(targets)
			targets = append(targets, t)
			continue
		}
		targets[i].runtime = targets[i].runtime || t.runtime
	}
	return targets, f.warnings, nil
}

// detect asks the configuration of the host first, then the table.
func (h *host) detect() findings {
	var (
		rows     []*platform
		confDirs = []string{"/etc/cni/net.d", "/run/multus/cni/net.d"}
	)
	for i := range platforms {
		if p := &platforms[i]; p.present(h) {
			rows = append(rows, p)
			confDirs = append(confDirs, p.confs...)
		}
	}
	f := h.readConfiguration(confDirs)
	for _, p := range rows {
		f.bins = append(f.bins, p.target(h))
	}
	// A runtime without a file of configuration looks in its built-in place.
	told := slices.ContainsFunc(f.bins, func(t Target) bool { return t.runtime })
	if !told && (len(rows) == 0 || h.isDir(defaultBinDir)) {
		f.bins = append(f.bins, Target{Dir: defaultBinDir, Source: "kubeadm"})
	}
	return f
}
