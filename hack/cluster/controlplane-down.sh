#!/bin/bash
# controlplane-down.sh NAME...: ends parts of the control plane: apiserver, controller-manager, scheduler, etcd. controlplane-up.sh
# starts them again on the same data.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
stop "$@"
