// SPDX-License-Identifier: Apache-2.0

// Skelonly is a CNI plugin that does nothing: the least that a plugin in Go costs per exec. As a chained plugin it hands on what the plugins before
// it have printed, as the standard wants. See hack/bench.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/version"
)

func main() {
	nothing := func(*skel.CmdArgs) error { return nil }
	skel.PluginMainFuncs(skel.CNIFuncs{Add: handOn, Check: nothing, Del: nothing, GC: nothing, Status: nothing}, version.All, "skelonly")
}

func handOn(args *skel.CmdArgs) error {
	var conf struct {
		Result json.RawMessage `json:"prevResult"`
	}
	if err := json.Unmarshal(args.StdinData, &conf); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	_, err := os.Stdout.Write(conf.Result)
	return err
}
