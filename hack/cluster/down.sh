#!/bin/bash
# Ends everything that up.sh has started and removes what it left on this machine: links, routes, cgroups and the state. The
# directories on which nodes have mounted their own stay, empty.
set -u
. "$(dirname "$0")/lib.sh"
for d in "$RUN"/n[1-9]; do [ ! -d "$d" ] || "$here/node-down.sh" "${d##*/n}"; done
"$here/controlplane-down.sh" scheduler controller-manager apiserver etcd
ip link del $P-tr 2>/dev/null
ip netns del $P-router 2>/dev/null
ip link del $P-under 2>/dev/null
ip link del $P-trunk 2>/dev/null
rm -rf "$RUN"
exit 0
