#!/bin/bash
# make cluster-up: builds what is missing, starts the control plane and the nodes, and installs Multus and macpool as a user would.
# What ran before is ended first. NODES, MULTUS and VLANS choose what there is.
set -euo pipefail
"$(dirname "$0")/down.sh" # and with it the settings of what ran before
. "$(dirname "$0")/lib.sh"

say() { printf 'cluster: %5.1f s  %s\n' "$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')" "$*"; }
[ "$(id -u)" = 0 ] || fail "nodes are made of namespaces, links and cgroups: run it as root"
missing=
for tool in "containerd containerd" "ctr containerd" "runc runc" "nft nftables" "ip iproute2" "nsenter util-linux" "pgrep procps" "openssl openssl" "busybox busybox-static"; do
  command -v "${tool% *}" >/dev/null || missing+=" ${tool#* }"
done
[ -z "$missing" ] || fail "these are missing, by the names of Debian's packages: $(tr ' ' '\n' <<<"$missing" | sort -u | xargs); on Debian: apt-get install -y --no-install-recommends$missing"

mkdir -p "$RUN/images"
KUBE_BIN=$(hack/kubernetes.sh) CNI_BIN=$(hack/cniplugins.sh) MULTUS_BIN=$(hack/multus.sh)
CGO_ENABLED=0 go build -trimpath -o "$RUN/vlanlink" ./hack/cluster/vlanlink
MULTUS_BIN=$MULTUS_BIN "$here/images.sh" "$RUN/images"
cat >"$RUN/settings" <<S
KUBE_BIN=$KUBE_BIN
CNI_BIN=$CNI_BIN
MULTUS_BIN=$MULTUS_BIN
IMAGES=$RUN/images
VLANLINK=$RUN/vlanlink
VLANS="$VLANS"
ARCH=$(go env GOARCH)
NODES="$NODES"
MULTUS=$MULTUS
S
. "$here/lib.sh" # with the settings now

began=$EPOCHREALTIME
"$here/certs.sh"
"$here/controlplane-up.sh"
say "the control plane is up"
"$here/router-up.sh"
for i in $NODES; do "$here/node-up.sh" "$i"; done
for i in $NODES; do until_ok 60 "node n$i to register" kubectl get node "n$i"; done
kubectl apply -f e2e/lab/manifests/nad-crd.yaml >/dev/null
kubectl apply -f controllers/testdata/kubevirt.yaml -f controllers/testdata/ipamclaims.yaml >/dev/null # the kinds alone
kubectl create clusterrolebinding kube-proxy --clusterrole=system:node-proxier --user=system:kube-proxy >/dev/null
kubectl wait --for=condition=Established crd/network-attachment-definitions.k8s.cni.cncf.io --timeout=30s >/dev/null
kubectl wait --for=condition=Ready node --all --timeout=120s >/dev/null
say "nodes $NODES are Ready"
if [ "$MULTUS" = thick ]; then
  kubectl apply -f "$here/multus-thick.yaml" >/dev/null
  kubectl -n kube-system rollout status daemonset/multus --timeout=120s >/dev/null
  for i in $NODES; do
    until_ok 60 "Multus' configuration on n$i" "$here/in-node.sh" "$i" test -f /etc/cni/net.d/00-multus.conf
  done
fi
say "Multus ($MULTUS) is installed"
kubectl apply -k config/default >/dev/null
kubectl -n macpool-system rollout status deployment/macpool-manager --timeout=180s >/dev/null
kubectl -n macpool-system rollout status daemonset/macpool-agent --timeout=180s >/dev/null
say "macpool is installed by its own manifests, and ready"
cat <<END

export KUBECONFIG=$KUBECONFIG PATH=$KUBE_BIN:\$PATH
hack/cluster/in-node.sh 1 ip -d link     # a command inside node n1
make cluster-down                        # ends it
END
