#!/bin/bash
# node-down.sh N: cuts the power of node nN. Its disk stays: node-up.sh N boots it again.
set -u
. "$(dirname "$0")/lib.sh"
i=$1 n=n$1
init=$(cat "$RUN/pid/$n.init" 2>/dev/null) && kill -9 "$init" 2>/dev/null # the kernel ends the rest of the namespace
stop "$n"
rm -f "$RUN/pid/$n.init"
ip link del "$P-u$i" 2>/dev/null
ip link del "$P-t$i" 2>/dev/null
ip route del "10.244.$i.0/24" 2>/dev/null
for _ in $(seq 25); do # a cgroup can be removed when its last process has gone
  left=
  for c in $CGROUPS unified .; do
    d=/sys/fs/cgroup/$c/$P-$n
    [ -d "$d" ] || continue
    find "$d" -depth -type d -exec rmdir {} \; 2>/dev/null
    [ ! -d "$d" ] || left=$d
  done
  [ -n "$left" ] || exit 0
  sleep .2
done
fail "cgroups of $n are left: $left"
