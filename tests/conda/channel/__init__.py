"""Makes a local conda channel out of what this machine and its registries have.

    python -m tests.conda.channel FOLDER [--also-python python3.12]
    python -m tests.conda.channel FOLDER --for-installer

With this channel, tests can build, solve, install and run the recipes in ``recipes/`` even if no
conda channel can be reached. Its packages have the names, layouts and dependency metadata of
conda-forge; their files come from wheels on PyPI, from Debian's packages, and from the Python that
runs this. Other programs (compilers, wget) are the system's, behind packages of these names. The
channel is for tests only: do not publish anything from it.

``FOLDER/channel`` is the channel, ``FOLDER/variants.yaml`` the variants that it supports, and
``FOLDER/variants-py312.yaml`` those of another Python, with a driver but no torch in Python.
``FOLDER/variants-cuda.yaml`` is for libtorch's CUDA build, which is the CPU build under another
name; CONDA_OVERRIDE_CUDA=12.9 allows building with it anywhere. ``--for-installer`` makes a channel
that suffices for torchml-installer, within seconds.
"""
