#!/bin/bash
# Prints the directory with helm, which the tests of the chart and the release run, for MACPOOL_HELM_BIN: a build of the tool that
# hack/helm/go.mod names, kept in the cache. Only the directory goes to stdout.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/cache.sh
. hack/build_once.sh

module=helm.sh/helm/v4
version=$(sed -n "s#^\t$module \(v[0-9.]*\).*#\1#p" hack/helm/go.mod)
hash=$(cat hack/helm/go.mod hack/helm/go.sum <(go env GOVERSION GOARCH) | sha256sum | cut -c1-12)
dir=$MACPOOL_CACHE/helm-$version-$hash

# Without a version helm calls itself v4.0, and a chart may ask for more.
build_helm() {
  cd hack/helm &&
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w -X $module/internal/version.version=$version" -o "$1/" tool
}

has_files "$dir" helm || say "building Helm $version from source, once"
build_once "$dir" helm build_helm
echo "$dir"
