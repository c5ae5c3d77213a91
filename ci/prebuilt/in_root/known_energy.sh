#!/bin/sh
# Runs in the root: compiles a model of known energy, from known_energy.cpp and FOLDER/files.inc.
set -eu
triplet="$(gcc -print-multiarch)"
g++ -std=c++17 -O2 -fPIC -shared -Wall -Wextra -Werror \
    --sysroot=/old -isystem /usr/include/kim-api -isystem /usr/share/cmake/kim-api-items -I "$1" \
    /recipe/known_energy.cpp -o "$1/libkim-api-portable-model.so" \
    -L/link "-L/old/usr/lib/$triplet" "-L/old/lib/$triplet" \
    "/usr/lib/$triplet/libkim-api.so" -Wl,--allow-shlib-undefined -Wl,--build-id=none
strip --strip-unneeded "$1/libkim-api-portable-model.so"
