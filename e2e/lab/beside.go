// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"path/filepath"
)

// Beside starts a second cluster on the switch of the first: with an API server and nodes of its own, and the same VLANs. The names
// of nodes must differ, since they name the ports of the switch too. change changes the options that the first has: it may have an audit log,
// say.
func (l *Lab) Beside(name string, change ...func(*Options)) (*Lab, error) {
	other := &Lab{Dir: filepath.Join(l.Dir, name), Backend: l.Backend, Switch: l.Switch, ctx: l.ctx, opts: l.opts}
	for _, f := range change {
		f(&other.opts)
	}
	if err := os.Mkdir(other.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of cluster %s: %w", name, err)
	}
	var err error
	if other.API, err = startControlPlane(other.ctx, other.Dir, other.opts); err != nil {
		return nil, err
	}
	other.Client, err = other.API.client()
	return other, err
}
