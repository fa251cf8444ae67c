// SPDX-License-Identifier: Apache-2.0

package check

import (
	"os"
	"testing"

	"github.com/macpool/macpool/internal/cli/clitest"
)

var api clitest.API

func TestMain(m *testing.M) { os.Exit(clitest.Main(m, &api)) }
