"""Makes the wheel of prebuilt drivers: for each minor version of torch, the driver and its module.

    python -m ci.prebuilt [--output FOLDER] [--torch 2.13.0 ...] [--root FOLDER]

It compiles in a minimal Debian of a fixed release, made by debootstrap, so that the same commit
gives the same bytes on any machine. Needs root. The compiler there links the C library of the
Debian before and only those symbols of libstdc++ that manylinux_2_28 permits; what gcc's newer
headers need beyond these becomes part of the libraries, as in Red Hat's toolsets (``in_root/``).
"""
