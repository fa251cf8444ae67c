// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"strings"

	"github.com/macpool/macpool/internal/agentapi"
)

// cniArgs is what macpool reads of CNI_ARGS.
type cniArgs struct {
	pod agentapi.Pod
	ips []string
	mac string
}

// parseArgs reads CNI_ARGS: KEY=VALUE pairs between semicolons. Keys that are not ours are ignored, whatever
// IgnoreUnknown says: runtimes pass on what other plugins understand. A value may contain "=". The last one of a key counts,
// as in the reference plugins.
func parseArgs(text string) cniArgs {
	var a cniArgs
	for pair := range strings.SplitSeq(text, ";") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			continue
		}
		switch key {
		case "K8S_POD_NAMESPACE":
			a.pod.Namespace = value
		case "K8S_POD_NAME":
			a.pod.Name = value
		case "K8S_POD_UID":
			a.pod.UID = value
		case "MAC":
			a.mac = value
		case "IP":
			a.ips = splitIPs(value)
		}
	}
	return a
}

func splitIPs(list string) []string {
	var ips []string
	for ip := range strings.SplitSeq(list, ",") {
		if ip = strings.TrimSpace(ip); ip != "" {
			ips = append(ips, ip)
		}
	}
	return ips
}

// complete tells whether the runtime named a pod.
func (a cniArgs) complete() bool {
	return a.pod.Namespace != "" && a.pod.Name != "" && a.pod.UID != ""
}
