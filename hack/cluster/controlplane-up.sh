#!/bin/bash
# Starts what does not run of: the two bridges, etcd, kube-apiserver, kube-controller-manager, kube-scheduler. On the etcd data
# of an earlier life it is the same cluster. APISERVER has further flags of kube-apiserver.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
pki=$RUN/pki
mkdir -p "$RUN/log" "$RUN/pid" "$RUN/etcd"

# The node network, and the trunk, whose frames are tagged. A bridge without an address of its own takes the lowest of its
# ports', and changes it when that port goes: with node 2's power the others would lose the control plane for half a minute.
bridge() { # bridge NAME ADDRESS
  ip link show "$1" >/dev/null 2>&1 || ip link add "$1" address "$2" type bridge forward_delay 0
  ip link set "$1" up
}
bridge $P-under 02:00:0a:c8:00:fe
bridge $P-trunk 02:00:0a:c8:01:fe
ip link set $P-trunk promisc on # whoever captures on it sees every frame that crosses
ip addr replace "$CP_IP/24" dev $P-under
# The trunk is the nodes' and not the machine's: it must say nothing on it, or a capture would see it.
sysctl -qw net.ipv6.conf.$P-trunk.disable_ipv6=1 2>/dev/null || true

start etcd etcd --name box --data-dir "$RUN/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls http://127.0.0.1:12379 --advertise-client-urls http://127.0.0.1:12379 \
  --listen-peer-urls http://127.0.0.1:12380

# Node and RBAC authorization, NodeRestriction and bound tokens, as in production.
start apiserver kube-apiserver --etcd-servers=http://127.0.0.1:12379 \
  --secure-port=6443 --bind-address="$CP_IP" --advertise-address="$CP_IP" --service-cluster-ip-range="$SERVICES" \
  --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" --cert-dir="$pki/api" \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
  --kubelet-client-certificate="$pki/apikubelet.crt" --kubelet-client-key="$pki/apikubelet.key" --kubelet-certificate-authority="$pki/ca.crt" \
  --kubelet-preferred-address-types=InternalIP,Hostname \
  --requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=front-proxy-client \
  --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --proxy-client-cert-file="$pki/proxy-client.crt" --proxy-client-key-file="$pki/proxy-client.key" \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
  --audit-policy-file="$here/audit.yaml" --audit-log-path="$RUN/log/audit.log" --audit-log-maxsize=1000 \
  --enable-aggregator-routing=true ${APISERVER:-} # the control plane has no kube-proxy
until_ok 60 "the API server" kubectl get --raw /readyz

# A dead node is NotReady after 10 s instead of 50, and its pods are evicted at once.
start controller-manager kube-controller-manager --kubeconfig="$pki/controller-manager.kubeconfig" \
  --authentication-kubeconfig="$pki/controller-manager.kubeconfig" --authorization-kubeconfig="$pki/controller-manager.kubeconfig" \
  --root-ca-file="$pki/ca.crt" --service-account-private-key-file="$pki/sa.key" --use-service-account-credentials=true \
  --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" --cert-dir="$pki/kcm" --bind-address=127.0.0.1 \
  --leader-elect=false --allocate-node-cidrs=false --node-monitor-period=1s --node-monitor-grace-period=10s --node-eviction-rate=1

# It ends itself when it finds that it has missed something, such as while the API server is killed: "Scheduler cache is corrupted".
keep scheduler kube-scheduler --kubeconfig="$pki/scheduler.kubeconfig" \
  --authentication-kubeconfig="$pki/scheduler.kubeconfig" --authorization-kubeconfig="$pki/scheduler.kubeconfig" \
  --leader-elect=false --cert-dir="$pki/scheduler" --bind-address=127.0.0.1
