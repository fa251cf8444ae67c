# shellcheck shell=bash
# Sourced: sets MACPOOL_CACHE, the directory outside the tree that keeps what is built once for each version: tools, the
# control plane, the reference plugins.
if [ -z "${HOME:-}" ]; then
  HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
  export HOME=${HOME:-/tmp/macpool-$(id -u)} # Go needs one too
fi
MACPOOL_CACHE=${MACPOOL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/macpool}
mkdir -p "$MACPOOL_CACHE"
MACPOOL_CACHE=$(cd "$MACPOOL_CACHE" && pwd)
export MACPOOL_CACHE
