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
hash=$(cat hack/kube/main.go hack/kube/go.sum hack/etcd/go.sum <(go env GOVERSION) | sha256sum | cut -c1-12)
built=$MACPOOL_CACHE/controlplane-$version-$arch-$hash

for dir in "$downloaded" "$built"; do
  has_files "$dir" "$files" && echo "$dir" && exit
done

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

# The version is not in the module, so the linker writes it; without it the API server calls itself v0.0.0.
build_control_plane() {
  local minor=${version#1.} p flags="-s -w"
  minor=${minor%%.*}
  for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $p.gitVersion=v$version -X $p.gitMajor=1 -X $p.gitMinor=$minor -X $p.gitCommit=v$version"
    flags+=" -X $p.gitTreeState=clean -X $p.buildDate=1970-01-01T00:00:00Z"
  done
  (cd hack/kube && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "$flags" -o "$1/kubeall" .) &&
    ln -s kubeall "$1/kube-apiserver" && ln -s kubeall "$1/kubectl" &&
    (cd hack/etcd && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$1/" tool) &&
    mv "$1/server" "$1/etcd" # etcd's main package is called server
}

say "building etcd and Kubernetes $version from source; without a build cache this takes about 10 minutes on 2 cores, once"
build_once "$built" "$files" build_control_plane
echo "$built"
