#!/bin/bash
# Prints the directory with Multus, thin (multus) and thick (multus-daemon, multus-shim), which the cluster in a box runs:
# a build of the tools that hack/multus/go.mod names, kept in the cache. Only the directory goes to stdout.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/cache.sh
. hack/build_once.sh

module=gopkg.in/k8snetworkplumbingwg/multus-cni.v4
files=$(sed -n "s#^\t$module/cmd/##p" hack/multus/go.mod)
version=$(sed -n "s#^\t$module \(v[0-9.]*\).*#\1#p" hack/multus/go.mod)
hash=$(cat hack/multus/go.mod hack/multus/go.sum <(go env GOVERSION GOARCH) | sha256sum | cut -c1-12)
dir=$MACPOOL_CACHE/multus-$version-$hash

build_multus() {
  cd hack/multus &&
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w -X $module/pkg/multus.version=$version" -o "$1/" tool
}

has_files "$dir" "$files" || say "building Multus $version from source, once"
build_once "$dir" "$files" build_multus
echo "$dir"
