#!/usr/bin/env bash
# Builds the KIM driver and the Python module, and puts both where the environment's programs look.
set -euxo pipefail

# Where this was built gets into no file: the same sources give the same package. A compiler cache may
# hand on paths relative to the build folder.
export CXXFLAGS="${CXXFLAGS:-} -ffile-prefix-map=$SRC_DIR=torchml-driver -ffile-prefix-map=$PREFIX=prefix"
relative=$("$PYTHON" -c 'import os, sys; print(os.path.relpath(*sys.argv[1:]))' "$PREFIX" "$SRC_DIR/build")
export CXXFLAGS="$CXXFLAGS -ffile-prefix-map=..=torchml-driver -ffile-prefix-map=$relative=prefix"
export LDFLAGS="${LDFLAGS:-} -Wl,--build-id=none"

# KIM's CMake code would take the compilers that KIM itself was built with.
# shellcheck disable=SC2086  # CMAKE_ARGS is words
cmake -S driver_src -B build -G Ninja ${CMAKE_ARGS:-} \
    -DCMAKE_PREFIX_PATH="$PREFIX" \
    -DCMAKE_C_COMPILER="$CC" -DKIM_API_CMAKE_C_COMPILER="$CC" \
    -DCMAKE_CXX_COMPILER="$CXX" -DKIM_API_CMAKE_CXX_COMPILER="$CXX" \
    -DKIM_API_INSTALL_COLLECTION=SYSTEM \
    -DKIM_API_MODEL_DRIVER_INSTALL_PREFIX="$PREFIX/lib/openkim-models/model-drivers" \
    -DTORCHML_DRIVER_NAMES="$DRIVER_NAME" \
    -DTORCH_ROOT="$PREFIX" \
    -DTORCHML_MPI="$TORCHML_MPI" \
    -DTORCHML_PYTHON=ON \
    -DPython_EXECUTABLE="$PYTHON" \
    -DTORCHML_PYTHON_INSTALL_DIR="$SRC_DIR/staged"
cmake --build build --parallel "${CPU_COUNT:-1}"
cmake --install build

# As a wheel, Python's own tools know the module and its version.
"$PYTHON" - <<'END'
from pathlib import Path
from torchml_installer.driver.python_module import project_facts, write_wheel

write_wheel(Path("staged/torchml_driver"), project_facts(Path("driver_src")), Path("wheels"))
END
"$PYTHON" -m pip install --no-deps --no-index --no-compile wheels/*.whl
