#!/usr/bin/env bash
# Installs LAMMPS, ASE, the driver and the command torchml-install from a checkout, in a container of
# Debian 12. Dockerfile and torchml.def run it.
#
#   install.sh CHECKOUT [--torch-index URL]
#
# By default, pip installs the torch for NVIDIA GPUs and CPUs. Without GPUs, use
# --torch-index https://download.pytorch.org/whl/cpu, which saves 2 GB of downloads.
set -euo pipefail

checkout=$1
shift
export DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

apt-get update -qq
# wget: without it, KIM's command kim-api-collections-management does nothing, not even list.
apt-get install -qq --yes --no-install-recommends ca-certificates python3 python3-venv wget
python3 -m venv /opt/torchml
export PATH="/opt/torchml/bin:$PATH"
pip install --quiet "$checkout"

torchml-install deps "$@"
torchml-install deps --with lammps,ase,kimpy,openkim-models,mpi,xxd
# For all users of the container, not only root.
torchml-install driver --collection system

rm -rf ~/.cache /var/lib/apt/lists/*
