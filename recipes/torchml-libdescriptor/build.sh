#!/usr/bin/env bash
# Takes the library from the wheel, with torchml-install as any user would.
set -euxo pipefail

export XDG_CACHE_HOME="$SRC_DIR/cache" XDG_DATA_HOME="$SRC_DIR/data"
unset LIBDESCRIPTOR_ROOT
torchml-install deps --with libdescriptor --sources "$SRC_DIR" --prefix "$SRC_DIR/unpacked"
root="$SRC_DIR/unpacked/libdescriptor-$PKG_VERSION"
mkdir -p "$PREFIX/lib" "$PREFIX/share/doc"
cp "$root/lib/libdescriptor.so" "$PREFIX/lib/"
cp -r "$root/share/doc/libdescriptor" "$PREFIX/share/doc/"

mkdir -p "$PREFIX/etc/conda/activate.d" "$PREFIX/etc/conda/deactivate.d"
cat >"$PREFIX/etc/conda/activate.d/torchml-libdescriptor.sh" <<'END'
if [ -n "${LIBDESCRIPTOR_ROOT+set}" ]; then
    export _TORCHML_CONDA_LIBDESCRIPTOR_ROOT="$LIBDESCRIPTOR_ROOT"
fi
export LIBDESCRIPTOR_ROOT="$CONDA_PREFIX"
END
cat >"$PREFIX/etc/conda/deactivate.d/torchml-libdescriptor.sh" <<'END'
unset LIBDESCRIPTOR_ROOT
if [ -n "${_TORCHML_CONDA_LIBDESCRIPTOR_ROOT+set}" ]; then
    export LIBDESCRIPTOR_ROOT="$_TORCHML_CONDA_LIBDESCRIPTOR_ROOT"
    unset _TORCHML_CONDA_LIBDESCRIPTOR_ROOT
fi
END
