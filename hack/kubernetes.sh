#!/bin/bash
# Prints the directory with etcd and Kubernetes built from Go modules: control plane, kubelet, kube-proxy and kubectl, which the
# cluster in a box runs, and controlplane.sh where the standard download cannot be had. Only the directory goes to stdout.
# With --if-built it fails where a build would be needed.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/cache.sh
. hack/build_once.sh

commands="kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl"
files="etcd $commands"

# The release of the client libraries: k8s.io/api v0.37.2 is of Kubernetes 1.37.2.
version=$(sed -n 's#^\tk8s\.io/api v0\.\([0-9.]*\).*#1.\1#p' go.mod)
hash=$(cat hack/kube/main.go hack/kube/go.sum hack/etcd/go.sum <(go env GOVERSION) | sha256sum | cut -c1-12)
dir=$MACPOOL_CACHE/kubernetes-$version-$(go env GOARCH)-$hash

# The version is not in the module, so the linker writes it; without it the API server calls itself v0.0.0.
build_kubernetes() {
  local minor=${version#1.} p command flags="-s -w"
  minor=${minor%%.*}
  for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $p.gitVersion=v$version -X $p.gitMajor=1 -X $p.gitMinor=$minor -X $p.gitCommit=v$version"
    flags+=" -X $p.gitTreeState=clean -X $p.buildDate=1970-01-01T00:00:00Z"
  done
  (cd hack/kube && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "$flags" -o "$1/kubeall" .) || return
  for command in $commands; do ln -s kubeall "$1/$command"; done
  (cd hack/etcd && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$1/" tool) &&
    mv "$1/server" "$1/etcd" # etcd's main package is called server
}

has_files "$dir" "$files" || [ "${1:-}" != --if-built ] || exit 1
has_files "$dir" "$files" ||
  say "building etcd and Kubernetes $version from source; without a build cache this takes about 10 minutes on 2 cores, once"
build_once "$dir" "$files" build_kubernetes
echo "$dir"
