// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
)

// errKept ends a laboratory that was asked to go on until it is interrupted.
var errKept = errors.New("kept until interrupted")

// keep leaves everything running until the demo is interrupted.
func (d *demo) keep(ctx context.Context) error {
	kubeconfig, err := d.lab.API.PublishKubeconfig(d.iso)
	if err != nil {
		return err
	}
	d.say(`
Everything keeps running until Ctrl-C. In another terminal:

   export KUBECONFIG=%s
   %s get macpools,macclaims,macleases -A

Inside a node or a pod (as the same user; ip is iproute2's):
`, kubeconfig, filepath.Join(d.opts.Assets, "kubectl"))
	enter := d.iso.Enter()
	for _, n := range d.lab.Nodes {
		d.say("   %s ip address    # node %s", enter(n.NetNS()), n.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(d.pods)) {
		d.say("   %s ip address    # pod %s", enter(d.pods[name].NetNS()), name)
	}
	<-ctx.Done()
	return errKept
}
