// SPDX-License-Identifier: Apache-2.0

package installer_test

import (
	"fmt"
	"os"
	"testing"
)

// roleVariable makes the test binary one of the processes that a test starts.
const roleVariable = "MACPOOL_TEST_ROLE"

// self is the test binary.
const self = "/proc/self/exe"

var roles = map[string]func(args []string) error{
	"install-again-and-again": installAgainAndAgain,
	"drop-capabilities":       dropCapabilities,
	"install-once":            installOnce,
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := roles[role](os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
