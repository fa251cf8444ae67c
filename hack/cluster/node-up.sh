#!/bin/bash
# node-up.sh N: starts node nN in mount, network, pid, uts and ipc namespaces of its own. eth0 is its cable to the node network,
# trunk0 the one to the trunk. With the disk of an earlier life ($RUN/nN) it is the same machine after a reboot.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
i=$1 n=n$1 N=$RUN/n$1 ip=10.200.0.$1 podnet=10.244.$1
! running "$n" || fail "node $n runs already"
for d in $OWN_DIRS; do mkdir -p "$N/own$d"; done
mkdir -p "$N/log" "$N/own/etc/cni/net.d" "$N/own/etc/cni/multus.d" "$N/own/opt/cni/bin"

# What a distribution ships: the plugins of the pod network. No macpool, which installs itself.
for f in bridge host-local loopback macvlan static tuning; do cp -u "$CNI_BIN/$f" "$N/own/opt/cni/bin/"; done

# kubelet's cgroupRoot has to exist: on cgroup v1 in every hierarchy, and with cpuset filled in before use.
if [ -d /sys/fs/cgroup/cpuset ]; then
  for c in $CGROUPS; do [ ! -d "/sys/fs/cgroup/$c" ] || mkdir -p "/sys/fs/cgroup/$c/$P-$n"; done
  for f in cpuset.cpus cpuset.mems; do cat "/sys/fs/cgroup/cpuset/$f" >"/sys/fs/cgroup/cpuset/$P-$n/$f"; done
else
  mkdir -p "/sys/fs/cgroup/$P-$n"
fi

render "$here/containerd.toml.in" >"$N/own/etc/containerd/config.toml"
render "$here/kubelet.yaml.in" >"$N/kubelet.yaml"
render "$here/proxy.yaml.in" >"$N/proxy.yaml"
etc=$N/own/etc/cni
case $MULTUS in
thin) # the pod network's configuration is where only Multus looks
  cp -u "$MULTUS_BIN/multus" "$N/own/opt/cni/bin/"
  render "$here/podnet.conflist.in" >"$etc/multus.d/10-podnet.conflist"
  render "$here/multus-thin.conf.in" >"$etc/net.d/00-multus.conf"
  ;;
thick) # its daemon finds the pod network and writes a configuration before it
  cp -u "$MULTUS_BIN/multus-shim" "$N/own/opt/cni/bin/"
  render "$here/podnet.conflist.in" >"$etc/net.d/10-podnet.conflist"
  ;;
*) fail "MULTUS=$MULTUS: thin or thick" ;;
esac

start "$n" unshare --mount --net --uts --ipc --pid --fork --kill-child --mount-proc --propagation private "$here/node-init.sh" "$i"
outer=$(cat "$RUN/pid/$n")
until_ok 10 "$n to have a process" pgrep -P "$outer"
init=$(pgrep -P "$outer")
echo "$init" >"$RUN/pid/$n.init"
apart() { [ "$(readlink "/proc/$init/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
until_ok 10 "$n to have a network of its own" apart

# Plug it in.
ip link add "$P-u$i" type veth peer name eth0 netns "$init"
ip link set "$P-u$i" master $P-under up
ip link add "$P-t$i" type veth peer name trunk0 netns "$init"
sysctl -qw "net.ipv6.conf.$P-t$i.disable_ipv6=1" 2>/dev/null || true
ip link set "$P-t$i" master $P-trunk up
ip route replace "$podnet.0/24" via "$ip"
