# shellcheck shell=bash
# Sourced after cache.sh: builds a directory of the cache exactly once, however many ask for it and wherever they are cut off.

say() { echo "macpool: $*" >&2; }

# build_once DIR FILES COMMAND: when one of FILES is missing in DIR, runs COMMAND, a shell function that fills the directory
# whose path it gets as its argument. Others wait by flock meanwhile. DIR appears by one rename; a build that is cut off
# leaves nothing that the next one does not sweep.
build_once() {
  local dir=$1 files=$2 command=$3
  has_files "$dir" "$files" && return 0
  exec 9>"$dir.lock"
  flock -n 9 || { say "waiting for another run, which builds $(basename "$dir")" && flock 9; }
  if ! has_files "$dir" "$files"; then
    rm -rf "$dir" "$dir".new.*
    building=$(mktemp -d "$dir.new.XXXXXX")
    trap 'stop_building' EXIT
    trap 'exit 130' INT TERM HUP
    with_progress "$command" "$building"
    has_files "$building" "$files" || { say "built $dir without all of: $files" && return 1; }
    chmod 755 "$building"
    mv -T "$building" "$dir"
    trap - EXIT INT TERM HUP
  fi
  exec 9>&-
}

has_files() {
  local f
  for f in $2; do [ -x "$1/$f" ] || return 1; done
}

# with_progress COMMAND ARG runs it as a process group of its own, so that an interrupt ends compilers too, and says every
# ten seconds that it is still at work.
with_progress() {
  local start=$SECONDS next=10
  set -m
  "$@" >&2 9>&- &
  builder=$!
  set +m
  while kill -0 "$builder" 2>/dev/null; do
    sleep 0.5
    if [ $((SECONDS - start)) -ge "$next" ]; then
      say "  still building, $((SECONDS - start)) s"
      next=$((next + 10))
    fi
  done
  wait "$builder"
  builder=
  say "  built in $((SECONDS - start)) s"
}

stop_building() {
  [ -z "${builder:-}" ] || kill -- "-$builder" 2>/dev/null || true
  rm -rf "${building:?}"
}
