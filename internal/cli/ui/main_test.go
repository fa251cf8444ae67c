// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	log.SetLogger(logr.Discard())
	defer func() {
		for _, end := range endings {
			end()
		}
	}()
	return m.Run()
}
