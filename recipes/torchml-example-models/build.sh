#!/usr/bin/env bash
# Packs and installs the examples as a user would, into the environment's collection.
set -euxo pipefail

export XDG_CACHE_HOME="$SRC_DIR/cache" XDG_DATA_HOME="$SRC_DIR/data"
# Makes the package reproducible: TorchScript writes constants in the order of a set of their names.
export PYTHONHASHSEED=0
export LDFLAGS="${LDFLAGS:-} -Wl,--build-id=none"

install() {
    python recipes/torchml-example-models/install_example.py "$@"
}
install stillinger_weber
install descriptor_network --pattern descriptor --descriptor '{DESCRIPTOR}'
install graph_network --pattern graph --layers '{LAYERS}'
