#!/bin/bash
# node-init.sh N: pid 1 of a node, in the namespaces that node-up.sh has made. When it ends, the node has lost its power.
set -u
. "$(dirname "$0")/lib.sh"
i=$1 n=n$1 N=$RUN/n$1 ip=10.200.0.$1
sock=/run/containerd/containerd.sock
hostname "$n"
mount --make-rshared /
mount -t tmpfs tmpfs /run
for d in $OWN_DIRS; do
  mkdir -p "$d"
  mount --bind "$N/own$d" "$d"
done

until ip link show trunk0 >/dev/null 2>&1 && ip link show eth0 >/dev/null 2>&1; do sleep .05; done
ip link set lo up
ip addr add "$ip/24" dev eth0
ip link set eth0 up
ip route add default via "$CP_IP"
for o in $NODES; do [ "$o" = "$i" ] || ip route add "10.244.$o.0/24" via "10.200.0.$o"; done
echo 1 >/proc/sys/net/ipv4/ip_forward

# The parents of the VLANs say nothing of their own: what the trunk carries was sent by pods.
echo 1 >/proc/sys/net/ipv6/conf/trunk0/disable_ipv6
ip link set trunk0 up
for vid in $VLANS; do
  "$VLANLINK" trunk0 "$vid" "eth0.$vid"
  echo 1 >"/proc/sys/net/ipv6/conf/eth0.$vid/disable_ipv6"
  ip link set "eth0.$vid" up
done

# keep NAME COMMAND...: runs it, and again a second after it ended, as an init system would; its pid is in /run/NAME.pid.
keep() {
  local name=$1
  shift
  while :; do
    "$@" >>"$N/log/$name.log" 2>&1 &
    echo $! >"/run/$name.pid"
    wait $!
    sleep 1
  done
}

keep containerd containerd &
until ctr -a $sock version >/dev/null 2>&1; do sleep .05; done
for image in "$IMAGES"/*.tar; do # containerd 2.x wants to be told not to use its transfer service; 1.x does not know it
  ctr -a $sock -n k8s.io images import --local --platform "linux/$ARCH" "$image" || ctr -a $sock -n k8s.io images import "$image"
done >"$N/log/import.log" 2>&1
keep proxy kube-proxy --config="$N/proxy.yaml" -v=1 &
keep kubelet kubelet --config="$N/kubelet.yaml" --kubeconfig="$RUN/pki/$n.kubeconfig" --hostname-override="$n" --node-ip="$ip" \
  --root-dir=/var/lib/kubelet --cert-dir=/var/lib/kubelet/pki --v=2 &
trap 'kill $(jobs -p); exit 0' TERM
wait
