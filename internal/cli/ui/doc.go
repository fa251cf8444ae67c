// SPDX-License-Identifier: Apache-2.0

// Package ui is kubectl macpool ui: the map of the pools as a web page, live, that this process serves to the person who started it. It
// reads the cluster with that person's kubeconfig and needs nothing in it. What the page says of an address comes from package ledger.
//
// # Who may ask
//
// The page shows what its owner may read, so nobody else may have it. It is served on a loopback address, which every process and every
// web page of the machine can reach. Three things keep these out: a random token, which the printed address has and which becomes a
// cookie that no other site's requests carry; the Host header, which a name that somebody has pointed at 127.0.0.1 betrays; and that
// there is nothing to do: every request is a read. See guard.
//
// What tenants wrote, such as the names of pods, is only ever a text node of the page. The page's policy allows no inline script or style,
// and no way to make markup of text, so that a mistake there is a page that does not work and not an open door.
package ui
