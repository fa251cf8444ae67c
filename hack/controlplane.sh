#!/bin/bash
# Prints the directory with etcd, kube-apiserver and kubectl, for KUBEBUILDER_ASSETS: the one that is set already, else the
# one in the cache, else the standard download, else a build from Go modules. Only the directory goes to stdout.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/cache.sh
. hack/build_once.sh

files="etcd kube-apiserver kubectl"
if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  if has_files "$KUBEBUILDER_ASSETS" "$files"; then
    cd "$KUBEBUILDER_ASSETS" && pwd
    exit
  fi
  say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS lacks one of $files; it is not used"
fi

# The API server of the same release as the client libraries: k8s.io/api v0.37.2 is of Kubernetes 1.37.2.
version=$(sed -n 's#^\tk8s\.io/api v0\.\([0-9.]*\).*#1.\1#p' go.mod)
arch=$(go env GOARCH)
downloaded=$MACPOOL_CACHE/envtest/k8s/$version-linux-$arch
has_files "$downloaded" "$files" && echo "$downloaded" && exit
hack/kubernetes.sh --if-built && exit

# The index is asked for first: it tells within seconds whether the download can be reached at all.
setup_envtest=sigs.k8s.io/controller-runtime/tools/setup-envtest@v0.25.1
if timeout 90 go run "$setup_envtest" list --os linux --arch "$arch" >/dev/null 2>&1 </dev/null; then
  say "downloading the control plane, Kubernetes $version"
  if timeout 300 go run "$setup_envtest" use "$version" --bin-dir "$MACPOOL_CACHE/envtest" >/dev/null 2>&1 </dev/null &&
    has_files "$downloaded" "$files"; then
    echo "$downloaded" && exit
  fi
fi
say "the standard download of the control plane cannot be had"
exec hack/kubernetes.sh
