"""Makes a local conda channel out of what this machine and its registries have.

    python -m tests.conda.channel FOLDER [--also-python python3.12]
    python -m tests.conda.channel FOLDER --for-installer

Where no conda channel can be reached, the recipes in ``recipes/`` are still to be built, solved,
installed and run for real. The channel made here has packages of the names, layouts and dependency
metadata of conda-forge; their files come from PyPI's wheels, from Debian's packages, and from the
Python that runs this. Whatever is neither (compilers, wget) is the system's own, behind a package
of its name. It is for tests: nothing in it is meant to be published.

``FOLDER/channel`` is the channel, ``FOLDER/variants.yaml`` the variants that it can serve, and
``FOLDER/variants-py312.yaml`` those of another Python: a driver, but no torch in Python.
``FOLDER/variants-cuda.yaml`` is for libtorch's build for CUDA, which is the one for processors
under another name; with CONDA_OVERRIDE_CUDA=12.9 it is built against anywhere. ``--for-installer``
makes a channel in which torchml-installer alone can be built, within seconds.
"""
