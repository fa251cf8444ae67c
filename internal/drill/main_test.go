// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

func TestMain(m *testing.M) {
	// What is said of an API server that is not there fills megabytes.
	if os.Getenv("MACPOOL_DRILL_LOG") == "" {
		ctrl.SetLogger(logr.Discard())
		klog.SetLogger(logr.Discard())
	} else {
		ctrl.SetLogger(stderrLog("manager"))
	}
	os.Exit(m.Run())
}
