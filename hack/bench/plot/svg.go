// SPDX-License-Identifier: Apache-2.0

// Package plot draws charts as SVG.
package plot

import "github.com/macpool/macpool/hack/bench/measure"

// SVG draws the chart.
func SVG(c measure.Chart) []byte {
	return []byte("<svg xmlns=\"http://www.w3.org/2000/svg\"><title>" + c.Title + "</title></svg>")
}
