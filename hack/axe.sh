#!/bin/bash
# Prints the directory with axe.min.js, which the tests of kubectl macpool ui judge its accessibility with, for MACPOOL_AXE: the package
# axe-core, which npm gets from the registry that it is set up for, kept in the cache. Its hash stands here. Only the directory goes to stdout.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/cache.sh
. hack/build_once.sh

version=4.14.1
sha512=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5 # of the package
dir=$MACPOOL_CACHE/axe-$version

fetch_axe() {
  local package=$1/axe-core-$version.tgz
  npm pack "axe-core@$version" --silent --cache "$1/npm" --pack-destination "$1" >&2 &&
    echo "$sha512  $package" | sha512sum --check --quiet &&
    tar -xzf "$package" -C "$1" --strip-components=1 package/axe.min.js package/LICENSE &&
    rm -r "$package" "$1/npm" && chmod 755 "$1/axe.min.js" # what has the bit is whole, as with the tools beside it
}

has_files "$dir" axe.min.js || say "fetching axe-core $version"
build_once "$dir" axe.min.js fetch_axe
echo "$dir"
