// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
)

// TestReadingTheClusterMayTakeLong proves that a manager that has much to read goes on reading. One that controller-runtime ends meanwhile would
// read it all once more, and again.
func TestReadingTheClusterMayTakeLong(t *testing.T) {
	w := newWorld(t)
	const patience = 200 * time.Millisecond // controller-runtime's, which are two minutes
	read := make(chan struct{})
	w.startManager(managerOptions{
		change: func(o *ctrl.Options) { o.Controller.CacheSyncTimeout = patience },
		count: func(r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/macleases") {
				<-read
			}
		},
	})
	time.Sleep(5 * patience)
	close(read)
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	w.claim(ns, "home-assistant", pool)
	w.bound(ns, "home-assistant")
}
