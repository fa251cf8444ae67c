#!/bin/bash
# Makes the cluster's keys: one CA for everything, certificates of servers and clients, the service accounts' key, kubeconfigs.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
mkdir -p "$RUN/pki"
cd "$RUN/pki"

certificate() { # certificate NAME COMMON-NAME ORGANIZATION [ALTERNATIVE-NAMES]
  local subject="/CN=$2"
  [ -z "$3" ] || subject="/O=$3/CN=$2"
  openssl ecparam -name prime256v1 -genkey -noout -out "$1.key" 2>/dev/null
  openssl req -new -key "$1.key" -subj "$subject" -out "$1.csr" 2>/dev/null
  {
    echo "keyUsage=digitalSignature,keyEncipherment"
    echo "extendedKeyUsage=serverAuth,clientAuth"
    [ -z "${4:-}" ] || echo "subjectAltName=$4"
  } >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile "$1.ext" -out "$1.crt" 2>/dev/null
}

kubeconfig() { # kubeconfig NAME CERTIFICATE
  cat >"$1.kubeconfig" <<K
apiVersion: v1
kind: Config
clusters: [{name: box, cluster: {server: "https://$CP_IP:6443", certificate-authority: $RUN/pki/ca.crt}}]
users: [{name: $2, user: {client-certificate: $RUN/pki/$2.crt, client-key: $RUN/pki/$2.key}}]
contexts: [{name: box, context: {cluster: box, user: $2}}]
current-context: box
K
}

openssl ecparam -name prime256v1 -genkey -noout -out ca.key 2>/dev/null
openssl req -x509 -new -key ca.key -subj "/CN=macpool-box" -days 3650 -out ca.crt 2>/dev/null
service=kubernetes.default.svc
certificate apiserver kube-apiserver "" \
  "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:$service,DNS:$service.cluster.local,IP:127.0.0.1,IP:$CP_IP,IP:${SERVICES%.*}.1"
certificate apikubelet kube-apiserver-kubelet-client system:masters
certificate proxy-client front-proxy-client ""
certificate admin admin system:masters
certificate controller-manager system:kube-controller-manager ""
certificate scheduler system:kube-scheduler ""
certificate proxy system:kube-proxy ""
for name in admin controller-manager scheduler proxy; do kubeconfig $name $name; done
for i in $NODES; do
  certificate "node-n$i" "system:node:n$i" system:nodes "DNS:n$i,IP:10.200.0.$i,IP:127.0.0.1"
  kubeconfig "n$i" "node-n$i"
done
openssl genrsa -out sa.key 2048 2>/dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
