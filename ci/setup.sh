#!/usr/bin/env bash
# From a bare machine to an environment in which Torch models run: what the GitHub action, the GitLab
# template and this repository's own Makefile call.
#
#   ci/setup.sh [--torch SPEC] [--torch-index URL] [--mpi] [--no-graph] [--libdescriptor] [--no-driver]
#   ci/setup.sh --key [the same options]
#
#   --torch SPEC       what pip shall install as torch, such as torch==2.13.0
#   --torch-index URL  where from, such as https://download.pytorch.org/whl/cpu
#   --mpi              a driver that asks MPI which rank of its node it is
#   --no-graph         a driver without staged graphs
#   --libdescriptor    libdescriptor, too
#   --no-driver        only what the driver is built with
#   --for PURPOSE      with what this repository's tests use: test or test-all
#   --key              print the key of a cache of .venv, ~/.kim-api and ~/.cache, and do nothing: it
#                      changes when, and only when, what is made here would
#
# Everything goes into .venv beside this file's folder; the driver into KIM's user collection.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "ci/setup.sh"
}

torch="" torch_index="" purpose="" mpi=off graph=on libdescriptor=off driver=on key=off
while [ $# -gt 0 ]; do
    case "$1" in
        --torch | --torch-index | --for)
            if [ $# -lt 2 ]; then
                echo "ci/setup.sh: $1 needs a value" >&2
                exit 2
            fi
            case "$1" in
                --torch) torch="$2" ;;
                --torch-index) torch_index="$2" ;;
                --for) purpose="$2" ;;
            esac
            shift ;;
        --mpi) mpi=on ;;
        --no-graph) graph=off ;;
        --libdescriptor) libdescriptor=on ;;
        --no-driver) driver=off ;;
        --key) key=on ;;
        -h | --help) usage; exit 0 ;;
        *) echo "ci/setup.sh: unknown option $1; see ci/setup.sh --help" >&2; exit 2 ;;
    esac
    shift
done
python="${PYTHON:-python3}"
[ -z "$torch" ] || export TORCHML_TORCH="$torch"
[ -z "$torch_index" ] || export TORCHML_TORCH_INDEX="$torch_index"

if [ "$key" = on ]; then
    {
        echo "${TORCHML_TORCH:-} ${TORCHML_TORCH_INDEX:-} $purpose $mpi $graph $libdescriptor $driver"
        "$python" --version
        uname -m
        # shellcheck disable=SC1091
        (. /etc/os-release && echo "$ID ${VERSION_ID:-}")
        made_of=(ci/provision.py ci/setup.sh pyproject.toml)
        [ "$driver" = off ] || made_of+=(driver_src torchml_installer)
        find "${made_of[@]}" -type f ! -name '*.pyc' ! -name '*.md' ! -path 'driver_src/build/*' \
            -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum | cut -c1-32
    exit 0
fi

"$python" ci/provision.py ${purpose:+--for "$purpose"}
[ "$driver" = on ] || exit 0

bin="$PWD/.venv/bin"
if [ "$libdescriptor" = on ]; then
    "$bin/torchml-install" deps --with libdescriptor
fi
options=()
[ "$mpi" = off ] || options+=(--mpi)
[ "$graph" = on ] || options+=(--no-graph)
"$bin/torchml-install" driver --collection user ${options[@]+"${options[@]}"}
"$bin/torchml-install" doctor
