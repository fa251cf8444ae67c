// SPDX-License-Identifier: Apache-2.0

// Skelonly is a CNI plugin that does nothing: the least that a plugin in Go costs per exec. See hack/bench.
package main

import (
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/version"
)

func main() {
	nothing := func(*skel.CmdArgs) error { return nil }
	skel.PluginMainFuncs(skel.CNIFuncs{Add: nothing, Check: nothing, Del: nothing, GC: nothing, Status: nothing}, version.All, "skelonly")
}
