#!/usr/bin/env bash
# Packs and installs the example as a user does, into the environment's own collection.
set -euxo pipefail

export XDG_CACHE_HOME="$SRC_DIR/cache" XDG_DATA_HOME="$SRC_DIR/data"
cd examples/stillinger_weber
# The same sources give the same package. TorchScript writes constants in the order of a set of their
# names, and remembers where the sources lay: here, nowhere in particular.
export PYTHONHASHSEED=0
export LDFLAGS="${LDFLAGS:-} -Wl,--build-id=none"
python - --output SW_Si.pt <<'END'
import runpy
import sys
from pathlib import Path
from types import ModuleType

source = Path("stillinger_weber.py")
module = sys.modules[source.stem] = ModuleType(source.stem)
module.__file__ = source.name
exec(compile(source.read_text(), source.name, "exec"), module.__dict__)
runpy.run_path("make_model.py", run_name="__main__")
END
cutoff=$(python -c 'import stillinger_weber; print(stillinger_weber.CUTOFF)')
torchml-install model pack SW_Si.pt --elements Si --cutoff "$cutoff" --name "$MODEL"
torchml-install model install "$MODEL" --collection system --kim-root "$PREFIX" --cxx "$CXX"
