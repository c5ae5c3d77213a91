#!/usr/bin/env bash
# Packs and installs the example as a user does, into the environment's own collection.
set -euxo pipefail

export XDG_CACHE_HOME="$SRC_DIR/cache" XDG_DATA_HOME="$SRC_DIR/data"
cd examples/stillinger_weber
python make_model.py --output SW_Si.pt
cutoff=$(python -c 'import stillinger_weber; print(stillinger_weber.CUTOFF)')
torchml-install model pack SW_Si.pt --elements Si --cutoff "$cutoff" --name "$MODEL"
torchml-install model install "$MODEL" --collection system --kim-root "$PREFIX" --cxx "$CXX"
