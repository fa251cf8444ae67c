# shellcheck shell=bash
# Sourced by the scripts of the cluster in a box: where its parts and its state are, and how its processes are started and ended.
# MACPOOL_CLUSTER, NODES, MULTUS and VLANS may be set from outside.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
. hack/cache.sh

# State: certificates, etcd, logs, process ids, and a directory for each node, which is its disk. On an ordinary file system,
# since overlayfs has its upper layers there.
RUN=${MACPOOL_CLUSTER:-$MACPOOL_CACHE/cluster}

# What runs: all of it is built, or a package of Debian. Set by up.sh once, for those who come after it.
[ ! -f "$RUN/settings" ] || . "$RUN/settings"
NODES=${NODES:-1 2}         # numbers, 1 to 9; node N is called nN
MULTUS=${MULTUS:-thin}      # thin or thick
VLANS=${VLANS:-50 60}       # each node has a parent eth0.VLAN for them
P=mpbox                     # prefix of links, bridges and cgroups

# The router of the VLANs, 192.168.VLAN.1 on each.
ROUTER_MAC=02:00:0a:c8:01:01

# The node network: node N is 10.200.0.N and its pods are 10.244.N.0/24.
CP_IP=10.200.0.254
SERVICES=10.96.0.0/16
PODS=10.244.0.0/16

# What a node has for itself. The rest of the file system, but for /run, is the machine's: what kubelets and agents write
# must be in one of these, or the nodes would find each other's.
OWN_DIRS="/var/lib/containerd /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers /etc/containerd /etc/cni /opt/cni /var/lib/macpool"

CGROUPS="cpu cpuacct cpuset memory devices freezer blkio pids systemd"
export PATH=${KUBE_BIN:-/nowhere}:$PATH:/usr/sbin:/sbin
export KUBECONFIG=$RUN/pki/admin.kubeconfig

fail() {
  echo "cluster: $*" >&2
  exit 1
}

# start NAME COMMAND...: in the background, not ended with this script; nothing if it runs already.
start() {
  local name=$1
  shift
  ! running "$name" || return 0
  setsid "$@" >>"$RUN/log/$name.log" 2>&1 </dev/null &
  echo $! >"$RUN/pid/$name"
}

# keep NAME COMMAND...: start, and again whenever it ends, as a kubelet keeps a static pod.
keep() {
  local name=$1
  shift
  # shellcheck disable=SC2016 # the inner shell's
  start "$name" bash -c 'trap "kill \$child; exit" TERM; while :; do "$@" & child=$!; wait $child; sleep 1; done' keep "$@"
}

running() { kill -0 "$(cat "$RUN/pid/$1" 2>/dev/null)" 2>/dev/null; }

# stop NAME...: SIGTERM, five seconds, SIGKILL.
stop() {
  local name pid
  for name in "$@"; do kill "$(cat "$RUN/pid/$name" 2>/dev/null)" 2>/dev/null || true; done
  for name in "$@"; do
    pid=$(cat "$RUN/pid/$name" 2>/dev/null) || continue
    for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep .1; done
    kill -9 "$pid" 2>/dev/null || true
    rm -f "$RUN/pid/$name"
  done
}

# render FILE: FILE with its ${variables} filled in.
render() { eval "cat <<RENDER
$(<"$1")
RENDER"; }

# until_ok SECONDS WHAT COMMAND...: polls; fails with what was waited for.
until_ok() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || fail "waited in vain for $what: $*"
    sleep .2
  done
}
