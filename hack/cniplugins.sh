#!/bin/bash
# Prints the directory with the reference CNI plugins that tests and the demo run, for MACPOOL_CNI_BIN: the one that is set
# already, else the one in the cache, else a build of the tools that go.mod names. Only the directory goes to stdout.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/cache.sh
. hack/build_once.sh

module=github.com/containernetworking/plugins
tools=$(sed -n "s#^\t\($module/plugins/.*\)#\1#p" go.mod)
files=$(for t in $tools; do basename "$t"; done)
if [ -n "${MACPOOL_CNI_BIN:-}" ]; then
  if has_files "$MACPOOL_CNI_BIN" "$files"; then
    cd "$MACPOOL_CNI_BIN" && pwd
    exit
  fi
  say "MACPOOL_CNI_BIN=$MACPOOL_CNI_BIN lacks one of" $files"; it is not used"
fi

version=$(sed -n "s#^\t$module \(v[0-9.]*\).*#\1#p" go.mod)
hash=$(cat <(echo "$tools") <(go env GOVERSION GOARCH) | sha256sum | cut -c1-12)
dir=$MACPOOL_CACHE/cniplugins-$version-$hash

build_plugins() {
  # shellcheck disable=SC2086 # one word for each tool
  CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w -X $module/pkg/utils/buildversion.BuildVersion=$version" -o "$1/" $tools
}

has_files "$dir" "$files" || say "building the reference CNI plugins $version"
build_once "$dir" "$files" build_plugins
echo "$dir"
