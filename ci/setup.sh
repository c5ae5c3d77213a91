#!/usr/bin/env bash
# Turns a bare machine into an environment that runs Torch models. The GitHub action, the GitLab template
# and this repository's Makefile call it.
#
#   ci/setup.sh [--torch SPEC] [--torch-index URL] [--mpi] [--no-graph] [--libdescriptor] [--no-driver]
#   ci/setup.sh --key [the same options]
#
#   --torch SPEC       requirement of torch for pip, such as torch==2.13.0
#   --torch-index URL  index to install torch from, such as https://download.pytorch.org/whl/cpu
#   --mpi              build a driver that asks MPI for a process's rank on its node
#   --no-graph         build a driver without staged graphs
#   --libdescriptor    install libdescriptor, too
#   --no-driver        install only what building the driver needs
#   --for PURPOSE      install what this repository's tests need, too: test, test-all or fuzz
#   --key              only print the key for a cache of .venv, ~/.kim-api and ~/.cache, which changes
#                      exactly when their contents would
#
# Everything goes into .venv beside this file's folder, and the driver into KIM's user collection.
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

# Python installs everything else; Debian's lacks the modules for virtual environments.
wanted=""
if ! command -v "$python" >/dev/null; then
    wanted="$python"
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    wanted="$python with its module venv"
fi
if [ -n "$wanted" ]; then
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo -n)
    if [ "$python" != python3 ] || ! command -v apt-get >/dev/null || ! ${as_root[@]+"${as_root[@]}"} true; then
        echo "ci/setup.sh: $wanted was not found. Install Python 3.10 or newer (apt-get install python3" \
            "python3-venv), or name one: PYTHON=/path/to/python3.12 ci/setup.sh" >&2
        exit 1
    fi
    echo "ci/setup.sh: $wanted was not found: running apt-get install python3 python3-venv" >&2
    apt=(${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive
        apt-get -q -o DPkg::Lock::Timeout=600)
    log="$(mktemp)"
    if ! { "${apt[@]}" update &&
        "${apt[@]}" install -y --no-install-recommends python3 python3-venv; } >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        echo "ci/setup.sh: apt could not install it; full log: $log" >&2
        exit 1
    fi
    rm -f "$log"
fi

if [ "$key" = on ]; then
    default="$(sed -n 's/^DEFAULT_TORCH = "\(.*\)"$/\1/p' ci/provision.py)"
    [ "$driver" = on ] || mpi="" graph="" libdescriptor=""
    {
        echo "${TORCHML_TORCH:-$default} ${TORCHML_TORCH_INDEX:-} $mpi $graph $libdescriptor $driver"
        "$python" --version
        # Programs, and libraries that search for each other, contain these paths.
        echo "$PWD $HOME"
        uname -m
        # shellcheck disable=SC1091
        (. /etc/os-release && echo "$ID ${VERSION_ID:-}")
        made_of=(ci/provision.py ci/setup.sh pyproject.toml torchml_installer/deps)
        [ "$driver" = off ] || made_of+=(driver_src torchml_installer)
        find "${made_of[@]}" -type f ! -name '*.pyc' ! -name '*.md' ! -path 'driver_src/build/*' \
            ! -path 'driver_src/fuzz/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum | cut -c1-32
    exit 0
fi

"$python" ci/provision.py ${purpose:+--for "$purpose"}
[ "$driver" = on ] || exit 0

# As in the activated environment: with another CMake, the build would not be reused there.
bin="$PWD/.venv/bin"
export PATH="$bin:$PATH"
if [ "$libdescriptor" = on ]; then
    "$bin/torchml-install" deps --with libdescriptor
fi
options=()
[ "$mpi" = off ] || options+=(--mpi)
[ "$graph" = on ] || options+=(--no-graph)
"$bin/torchml-install" driver --collection user ${options[@]+"${options[@]}"}
"$bin/torchml-install" doctor
