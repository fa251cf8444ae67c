#!/bin/bash
# in-node.sh N COMMAND...: runs a command inside node nN. By nsenter: `ip netns exec` would mount a new /sys, without cgroups.
. "$(dirname "$0")/lib.sh"
init=$(cat "$RUN/pid/n$1.init") || fail "node n$1 does not run"
shift
exec nsenter -t "$init" -m -n -u -i -p "$@"
