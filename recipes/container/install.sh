#!/usr/bin/env bash
# In a container of Debian 12: LAMMPS, ASE, the driver and the command torchml-install, from a
# checkout; what Dockerfile and torchml.def run.
#
#   install.sh CHECKOUT [--torch-index URL]
#
# torch is the one that pip takes by itself, for NVIDIA GPUs and processors; without GPUs,
# --torch-index https://download.pytorch.org/whl/cpu is 2 GB less to download.
set -euo pipefail

checkout=$1
shift
export DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

apt-get update -qq
# wget: KIM's own command kim-api-collections-management does nothing, not even list, without it.
apt-get install -qq --yes --no-install-recommends ca-certificates python3 python3-venv wget
python3 -m venv /opt/torchml
export PATH="/opt/torchml/bin:$PATH"
pip install --quiet "$checkout"

torchml-install deps "$@"
torchml-install deps --with lammps,ase,kimpy,openkim-models,mpi,xxd
# For all users of the container, who need not be root.
torchml-install driver --collection system

rm -rf ~/.cache /var/lib/apt/lists/*
