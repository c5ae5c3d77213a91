#!/bin/sh
# Runs in the root: builds the driver and its Python module for one torch, from /source into /made/torch-MINOR.
#
#   build.sh TORCH NAME RUN_PATH
#
# TORCH is a folder in /torch; NAME and RUN_PATH are placeholders for what torchml-install fills in.
set -eu
torch="$1" name="$2" run_path="$3"
triplet="$(gcc -print-multiarch)"
build="/build/$torch"
made="/made/$torch"

# /source and /torch get into programs through __FILE__.
export CXXFLAGS="--sysroot=/old -include /recipe/older_functions.hpp \
-ffile-prefix-map=/torch/$torch=torch -ffile-prefix-map=/source=torchml-driver \
-ffile-prefix-map=$build=build"
export LDFLAGS="--sysroot=/old -L/link -L/old/usr/lib/$triplet -L/old/lib/$triplet \
-Wl,--exclude-libs,ALL -Wl,--build-id=none"
cmake -S /source -B "$build" -G Ninja \
    "-DTORCH_ROOT=/torch/$torch" \
    "-DTORCHML_DRIVER_NAMES=$name" \
    "-DTORCHML_TORCH_RUN_PATH=$run_path" \
    -DTORCHML_PYTHON=ON \
    -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON \
    -Dpybind11_DIR=/pybind11/share/cmake/pybind11
cmake --build "$build"

mkdir -p "$made"
cp "$build/libkim-api-model-driver.so" "$build"/_core.*.so "$made"
strip --strip-unneeded "$made"/*.so
