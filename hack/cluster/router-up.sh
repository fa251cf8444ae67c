#!/bin/bash
# Makes what stands beside the nodes on the trunk: a router with the address .1 on each VLAN, as a home or a plant has it. It is a
# network namespace of this machine and answers pings.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
ip netns list | grep -qw $P-router || ip netns add $P-router
in_router() { nsenter --net=/run/netns/$P-router "$@"; }
ip link show $P-tr >/dev/null 2>&1 && exit
ip link add $P-tr type veth peer name trunk0 netns $P-router
sysctl -qw net.ipv6.conf.$P-tr.disable_ipv6=1 2>/dev/null || true
ip link set $P-tr master $P-trunk up
in_router sh -c 'echo 1 >/proc/sys/net/ipv6/conf/trunk0/disable_ipv6'
in_router ip link set lo up
in_router ip link set trunk0 address "$ROUTER_MAC" up
for vid in $VLANS; do
  in_router "$VLANLINK" trunk0 "$vid" "eth0.$vid"
  in_router ip addr add "192.168.$vid.1/24" dev "eth0.$vid"
  in_router ip link set "eth0.$vid" up
done
