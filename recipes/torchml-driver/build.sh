#!/usr/bin/env bash
# Builds the KIM driver and the Python module, and installs both where the environment's programs look.
set -euxo pipefail

# Keep the build's paths out of all files, so that the same sources give the same package. A compiler
# cache may pass paths relative to the build folder.
export CXXFLAGS="${CXXFLAGS:-} -ffile-prefix-map=$SRC_DIR=torchml-driver -ffile-prefix-map=$PREFIX=prefix"
relative=$("$PYTHON" -c 'import os, sys; print(os.path.relpath(*sys.argv[1:]))' "$PREFIX" "$SRC_DIR/build")
export CXXFLAGS="$CXXFLAGS -ffile-prefix-map=..=torchml-driver -ffile-prefix-map=$relative=prefix"
export LDFLAGS="${LDFLAGS:-} -Wl,--build-id=none"

# One build for both: scikit-build-core packs the module, and CMake installs the driver. KIM's CMake code
# chooses the build type, and would use the compilers that KIM was built with.
definitions=(
    CMAKE_PREFIX_PATH="$PREFIX"
    CMAKE_C_COMPILER="$CC" KIM_API_CMAKE_C_COMPILER="$CC"
    CMAKE_CXX_COMPILER="$CXX" KIM_API_CMAKE_CXX_COMPILER="$CXX"
    KIM_API_INSTALL_COLLECTION=SYSTEM
    KIM_API_MODEL_DRIVER_INSTALL_PREFIX="$PREFIX/lib/openkim-models/model-drivers"
    TORCHML_KIM=ON
    TORCHML_DRIVER_NAMES="$DRIVER_NAME"
    TORCH_ROOT="$PREFIX"
    TORCHML_MPI="$TORCHML_MPI"
)
export CMAKE_BUILD_PARALLEL_LEVEL="${CPU_COUNT:-1}"
"$PYTHON" -m pip wheel ./driver_src --no-build-isolation --no-deps --no-index --wheel-dir wheels -v \
    -C build-dir="$SRC_DIR/build" -C cmake.build-type= "${definitions[@]/#/-Ccmake.define.}"
cmake --install build --component Unspecified
# By name: pip would record the path of a wheel in direct_url.json.
"$PYTHON" -m pip install torchml-driver --no-deps --no-index --no-compile --find-links wheels
