// SPDX-License-Identifier: Apache-2.0

// Package execs measures what it costs to execute a plugin at all.
package execs

import (
	"context"
	"errors"

	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
)

// Run is the section.
func Run(context.Context, *rig.Rig) (*measure.Result, error) { return nil, errors.New("to be written") }
