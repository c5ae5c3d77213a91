#!/bin/sh
# Runs in the root: puts older libraries to link with into /old, and what the linker takes for -lstdc++
# into /link.
#
#   old_libraries.sh RELEASE [PYTHON ...]
#
# RELEASE is the Debian of the C library; PYTHON is a version, such as 3.11, that the root has.
set -eu
release="$1"
shift
here="$(dirname "$0")"
triplet="$(gcc -print-multiarch)"
gcc="$(dirname "$(gcc -print-libgcc-file-name)")"
version="$(basename "$gcc")"

mkdir -p /old/packages /link
cd /old/packages
apt-get update -q
for package in libc6 libc6-dev linux-libc-dev libstdc++6 libgcc-s1 libcrypt1 libcrypt-dev; do
    apt-get download -q "$package/$release"
done
for package in *.deb; do
    dpkg -x "$package" /old
done
# Links with absolute targets would lead out of the sysroot.
find /old -lname '/*' | while read -r link; do
    ln -snfr "/old$(readlink "$link")" "$link"
done

# The compiler looks for these in the sysroot, too.
mkdir -p "/old/usr/include/c++" "/old/usr/include/$triplet/c++"
cp -r "/usr/include/c++/$version" /old/usr/include/c++/
cp -r "/usr/include/$triplet/c++/$version" "/old/usr/include/$triplet/c++/"
for python in "$@"; do
    cp -r "/usr/include/python$python" /old/usr/include/
    cp -r "/usr/include/$triplet/python$python" "/old/usr/include/$triplet/"
done

# libstdc++ as of gcc 8, which manylinux_2_28 has; and the rest of this gcc's, as an archive.
cd /link
python3 "$here/old_symbols.py" "/old/usr/lib/$triplet/libstdc++.so.6" GLIBCXX_3.4.24 CXXABI_1.3.11
gcc -shared -nostdlib -o libstdc++-old.so symbols.s \
    -Wl,-soname,libstdc++.so.6 -Wl,--version-script=symbols.map
# The archive is of a newer C library, which tells whether there are threads.
echo '__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;' >newer.c
gcc -O2 -fPIC -c newer.c
ar crD libnewer.a newer.o
echo "INPUT ( /link/libstdc++-old.so $gcc/libstdc++.a /link/libnewer.a )" >libstdc++.so
