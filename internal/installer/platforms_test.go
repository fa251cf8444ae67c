// SPDX-License-Identifier: Apache-2.0

package installer_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/installer"
)

// The configuration of containerd in its three versions, with %s for the directory of plugins.
const (
	containerd1 = "[plugins.cri.cni]\n  bin_dir = \"BIN\"\n  conf_dir = \"CONF\"\n"
	containerd2 = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\n  bin_dir = \"BIN\"\n  conf_dir = \"CONF\"\n"
	containerd3 = "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.cni]\n  bin_dirs = ['BIN']\n  conf_dir = 'CONF'\n"
)

func configuration(format, bin, conf string) string {
	return strings.NewReplacer("BIN", bin, "CONF", conf).Replace(format)
}

func multus(binDir string) string {
	return `{"cniVersion": "1.0.0", "name": "multus-cni-network", "type": "multus", "binDir": "` + binDir + `"}`
}

// TestPlatforms has a host for each row of the table of platforms, and where the plugin went.
func TestPlatforms(t *testing.T) {
	const (
		optBin  = "/opt/cni/bin/macpool"
		k3sConf = "/var/lib/rancher/k3s/agent/etc/cni/net.d"
		k3sFile = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml"
		snap    = "/var/snap/microk8s/current"
	)
	for name, test := range map[string]struct {
		host     tree
		platform string
		bins     []string
		want     []string
	}{
		"kubeadm": {
			host: tree{"/etc/containerd/config.toml": configuration(containerd2, "/opt/cni/bin", "/etc/cni/net.d"), "/opt/cni/bin/loopback": "x"},
			want: []string{optBin},
		},
		"kubespray, containerd 1": {
			host: tree{"/etc/containerd/config.toml": configuration(containerd1, "/opt/cni/bin", "/etc/cni/net.d")},
			want: []string{optBin},
		},
		"Debian's containerd": {
			host: tree{"/etc/containerd/config.toml": configuration(containerd2, "/usr/lib/cni", "/etc/cni/net.d"), "/usr/lib/cni/": ""},
			want: []string{"/usr/lib/cni/macpool"},
		},
		"containerd without configuration": {
			host: tree{"/etc/": ""},
			want: []string{optBin},
		},
		"containerd that is told nothing": {
			host: tree{"/etc/containerd/config.toml": "version = 3\n"},
			want: []string{optBin},
		},
		"Docker's containerd beside nothing": {
			host: tree{"/etc/containerd/config.toml": "disabled_plugins = [\"cri\"]\n", "/etc/crio/crio.conf.d/10.conf": "[crio.network]\nplugin_dirs = [\"/usr/libexec/cni/\"]\n"},
			want: []string{"/usr/libexec/cni/macpool"},
		},
		"RKE2": {
			host: tree{"/var/lib/rancher/rke2/agent/etc/containerd/config.toml": "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  enable_selinux = true\n"},
			want: []string{optBin},
		},
		"k3s since October 2024": {
			host: tree{
				k3sFile:                              configuration(containerd3, "/var/lib/rancher/k3s/data/cni", k3sConf),
				"/var/lib/rancher/k3s/data/cni/":     "",
				"/var/lib/rancher/k3s/data/abc/bin/": "",
				"/var/lib/rancher/k3s/data/current":  "-> /var/lib/rancher/k3s/data/abc",
			},
			want: []string{"/var/lib/rancher/k3s/data/cni/macpool"},
		},
		"k3s since October 2024, without its configuration": {
			host: tree{"/var/lib/rancher/k3s/data/cni/": "", "/var/lib/rancher/k3s/data/abc/bin/": "", "/var/lib/rancher/k3s/data/current": "-> abc"},
			want: []string{"/var/lib/rancher/k3s/data/cni/macpool"},
		},
		"k3s with another CNI": { // without flannel, k3s leaves containerd its built-in directory
			host: tree{k3sFile: "version = 3\n", "/var/lib/rancher/k3s/data/cni/": ""},
			want: []string{optBin, "/var/lib/rancher/k3s/data/cni/macpool"},
		},
		"k3s, older": { // containerd is told the directory of the release, Multus current
			host: tree{
				k3sFile:                                configuration(containerd2, "/var/lib/rancher/k3s/data/abc/bin", k3sConf),
				"/var/lib/rancher/k3s/data/abc/bin/":   "",
				"/var/lib/rancher/k3s/data/current":    "-> abc",
				k3sConf + "/00-multus.conf":            multus("/var/lib/rancher/k3s/data/current/bin"),
				"/var/lib/rancher/k3s/data/old/bin/x":  "the release before",
				"/var/lib/rancher/k3s/data/.lock":      "",
				"/var/lib/rancher/k3s/agent/kubelet.x": "",
			},
			want: []string{"/var/lib/rancher/k3s/data/abc/bin/macpool"},
		},
		"k3d": {
			host: tree{k3sFile: configuration(containerd3, "/var/lib/rancher/k3s/data/cni", k3sConf), "/bin/k3s": "x", "/bin/cni": "x", "/var/lib/rancher/k3s/data/cni/": ""},
			want: []string{"/var/lib/rancher/k3s/data/cni/macpool"},
		},
		"k3d, older": {
			host: tree{k3sFile: configuration(containerd2, "/bin", k3sConf), "/bin/k3s": "x", "/bin/cni": "x"},
			want: []string{"/bin/macpool"},
		},
		"Talos": {
			host: tree{
				"/etc/os-release":             "NAME=\"Talos\"\nID=talos\n",
				"/etc/containerd/config.toml": "version = 3\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.runtime\"]\n",
				"/etc/cri/containerd.toml":    "version = 3\nimports = [\n  \"/etc/cri/conf.d/cri.toml\",\n]\n",
				"/etc/cri/conf.d/cri.toml":    configuration(containerd3, "/opt/cni/bin", "/etc/cni/net.d"),
				"/opt/cni/bin/flannel":        "x",
			},
			want: []string{optBin},
		},
		"MicroK8s": {
			host: tree{
				"/var/snap/microk8s/current":                           "-> 6750",
				"/var/snap/microk8s/6750/args/containerd.toml":         configuration(containerd2, snap+"/opt/cni/bin", snap+"/args/cni-network"),
				"/var/snap/microk8s/6750/args/cni-network/multus.conf": multus(snap + "/opt/cni/bin"),
				"/var/snap/microk8s/6750/opt/cni/bin/host-local":       "x",
			},
			want: []string{"/var/snap/microk8s/6750/opt/cni/bin/macpool"},
		},
		"MicroK8s with a link": { // what Multus is told is the same directory
			host: tree{
				"/var/snap/microk8s/current":                           "-> 6750",
				"/var/snap/microk8s/6750/args/containerd.toml":         configuration(containerd2, snap+"/opt/cni/bin", snap+"/args/cni-network"),
				"/var/snap/microk8s/6750/args/cni-network/multus.conf": multus("/opt/cni/bin"),
				"/opt/cni/bin": "-> " + snap + "/opt/cni/bin",
			},
			want: []string{"/var/snap/microk8s/6750/opt/cni/bin/macpool"},
		},
		"OpenShift": {
			host: tree{
				"/etc/os-release":                          "ID=\"rhcos\"\nOPENSHIFT_VERSION=\"4.18\"\n",
				"/etc/crio/crio.conf.d/00-default":         "[crio.network]\nnetwork_dir = \"/etc/kubernetes/cni/net.d/\"\nplugin_dirs = [\n  \"/var/lib/cni/bin\",\n]\n",
				"/etc/kubernetes/cni/net.d/00-multus.conf": `{"type": "multus-shim", "name": "multus-cni-network"}`,
				"/var/lib/cni/bin/":                        "",
			},
			want: []string{"/var/lib/cni/bin/macpool"},
		},
		"a runtime's directory that is not Multus' default": { // Debian's containerd with thick Multus
			host: tree{
				"/etc/containerd/config.toml":   configuration(containerd2, "/usr/lib/cni", "/etc/cni/net.d"),
				"/usr/lib/cni/":                 "",
				"/etc/cni/net.d/00-multus.conf": `{"type": "multus-shim", "name": "multus-cni-network"}`,
				"/opt/cni/bin/multus-shim":      "x",
			},
			want: []string{optBin, "/usr/lib/cni/macpool"},
		},
		"GKE": {
			host: tree{"/etc/containerd/config.toml": configuration(containerd2, "/home/kubernetes/bin", "/etc/cni/net.d"), "/home/kubernetes/bin/kubelet": "x"},
			want: []string{"/home/kubernetes/bin/macpool"},
		},
		"CRI-O of a distribution": {
			host: tree{"/etc/crio/crio.conf": "[crio.network]\nplugin_dirs = [\"/usr/libexec/cni\"]\n", "/usr/libexec/cni/": ""},
			want: []string{"/usr/libexec/cni/macpool"},
		},
		"CRI-O that is told nothing": { // which of the two is built in, nobody can see
			host: tree{"/etc/crio/crio.conf": "[crio.runtime]\nselinux = true\n", "/usr/libexec/cni/": ""},
			want: []string{optBin, "/usr/libexec/cni/macpool"},
		},
		"CRI-O with two directories": {
			host: tree{"/etc/crio/crio.conf.d/10-crio.conf": "[crio.network]\nplugin_dirs = [\"/opt/cni/bin/\", \"/usr/libexec/cni/\"]\n"},
			want: []string{optBin, "/usr/libexec/cni/macpool"},
		},
		"imports by pattern, relative": {
			host: tree{
				"/etc/containerd/config.toml":        "version = 3\nimports = [\"conf.d/*.toml\"]\n",
				"/etc/containerd/conf.d/50-cni.toml": configuration(containerd3, "/opt/plugins", "/opt/conf"),
				"/etc/containerd/conf.d/50-cni.bak":  configuration(containerd3, "/opt/wrong", "/opt/conf"),
				"/opt/conf/00-multus.conflist":       `{"name": "m", "plugins": [` + multus("/opt/second") + `]}`,
			},
			want: []string{"/opt/plugins/macpool", "/opt/second/macpool"},
		},
		"imports in a circle": {
			host: tree{"/etc/containerd/config.toml": "imports = [\"/etc/containerd/config.toml\", \"/etc/containerd/gone.toml\"]\n"},
			want: []string{optBin},
		},
		"Multus that looks elsewhere": {
			host: tree{"/etc/containerd/config.toml": configuration(containerd2, "/opt/cni/bin", "/etc/cni/net.d"), "/etc/cni/net.d/00-multus.conf": multus("/opt/multus/bin")},
			want: []string{optBin, "/opt/multus/bin/macpool"},
		},
		"configuration that is not TOML": {
			host: tree{"/etc/containerd/config.toml": "{{ template }}\n"},
			want: []string{optBin},
		},
		"a directory that is none": {
			host: tree{"/etc/containerd/config.toml": configuration(containerd2, "${SNAP_DATA}/opt/cni/bin", "/etc/cni/net.d")},
			want: []string{optBin},
		},
		"the platform is told": {
			host:     tree{"/etc/containerd/config.toml": configuration(containerd2, "/opt/cni/bin", "/etc/cni/net.d")},
			platform: "openshift",
			want:     []string{"/var/lib/cni/bin/macpool"},
		},
		"the directories are told": {
			host: tree{"/etc/containerd/config.toml": configuration(containerd2, "/opt/cni/bin", "/etc/cni/net.d")},
			bins: []string{"/opt/a", "/opt/b"},
			want: []string{"/opt/a/macpool", "/opt/b/macpool"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, test.host)
			if test.platform != "" {
				n.options.Platform = test.platform
			}
			n.options.BinDirs = test.bins
			n.install()
			if diff := cmp.Diff(test.want, n.find("macpool")); diff != "" {
				t.Errorf("macpool is in (-want +got)\n%s", diff)
			}
			for _, p := range n.find("macpool") {
				if got := n.read(p); got != content("macpool", "1") {
					t.Errorf("%s is %q", p, got)
				}
			}
			n.remove()
			if left := n.find("macpool"); len(left) > 0 {
				t.Errorf("Remove left %v", left)
			}
		})
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for name, spoil := range map[string]func(*installer.Options){
		"platform":                        func(o *installer.Options) { o.Platform = "k4s" },
		"relative directory":              func(o *installer.Options) { o.BinDirs = []string{"opt/cni/bin"} },
		"the root":                        func(o *installer.Options) { o.BinDirs = []string{"/opt/.."} },
		"reference plugin that is absent": func(o *installer.Options) { o.ReferencePlugins = []string{"ipvlan"} },
		"reference plugin with a path":    func(o *installer.Options) { o.ReferencePlugins = []string{"../macpool"} },
		"macpool as reference plugin":     func(o *installer.Options) { o.ReferencePlugins = []string{"macpool"} },
		"host":                            func(o *installer.Options) { o.Host += "/nowhere" },
		"source":                          func(o *installer.Options) { o.Source += "/nowhere" },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, nil)
			spoil(&n.options)
			if i, err := installer.New(n.options); err == nil {
				t.Error("was accepted")
				_ = i.Close()
			}
		})
	}
}
