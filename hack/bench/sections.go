// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/macpool/macpool/hack/bench/adds"
	"github.com/macpool/macpool/hack/bench/binds"
	"github.com/macpool/macpool/hack/bench/core"
	"github.com/macpool/macpool/hack/bench/execs"
	"github.com/macpool/macpool/hack/bench/growths"
	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/peers"
	"github.com/macpool/macpool/hack/bench/rig"
	"github.com/macpool/macpool/hack/bench/storms"
)

// section is a part of the benchmarks.
type section struct {
	name string
	run  func(context.Context, *rig.Rig) (*measure.Result, error)
	// needsPeer: it compares with a plugin that the caller has to name.
	needsPeer bool
}

var sections = []section{
	{name: "exec", run: execs.Run},
	{name: "add", run: adds.Run},
	{name: "add-requests", run: adds.Requests},
	{name: "bind", run: binds.Run},
	{name: "storm", run: storms.Run},
	{name: "growth", run: growths.Run},
	{name: "core", run: core.Run},
	{name: "peer", run: peers.Run, needsPeer: true},
}

func find(name string) *section {
	for i := range sections {
		if sections[i].name == name {
			return &sections[i]
		}
	}
	return nil
}

func names() []string {
	var all []string
	for _, one := range sections {
		all = append(all, one.name)
	}
	return all
}
