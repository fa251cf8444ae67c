// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	defer func() {
		for _, end := range endings {
			end()
		}
	}()
	return m.Run()
}
