#!/bin/sh
# Installs what the driver's build lacks, and writes env.sh into the current folder:
#
#   ./install_dependencies.sh [options of `torchml-install deps`, for example --dry-run]
#
# It never prompts. torchml-install, which can do more, does the work; this script exists because older
# instructions mention its name.

folder=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit

# torchml-install may be installed or, in a clone of the whole repository, beside this folder.
if command -v torchml-install >/dev/null 2>&1; then
    run() { torchml-install "$@"; }
elif [ -f "$folder/../torchml_installer/__main__.py" ]; then
    python=
    for candidate in python3 python; do
        if "$candidate" -c 'import click, rich' >/dev/null 2>&1; then
            python=$candidate
            break
        fi
    done
    if [ -z "$python" ]; then
        echo "install_dependencies.sh: torchml-install is not installed for the Python on PATH." >&2
        echo "  what to do: install it in a virtual environment (python3 -m venv DIR; . DIR/bin/activate):" >&2
        echo "    python -m pip install '$(dirname -- "$folder")'" >&2
        exit 1
    fi
    run() { PYTHONPATH="$(dirname -- "$folder")${PYTHONPATH:+:$PYTHONPATH}" "$python" -m torchml_installer "$@"; }
else
    echo "install_dependencies.sh: the command torchml-install was not found." >&2
    echo "  what to do: install it from the folder that contains torchml_installer/:" >&2
    echo "    python -m pip install FOLDER" >&2
    echo "  or install by hand what README.md beside this file lists." >&2
    exit 1
fi

run deps "$@" || exit

# Passes on to env those options that say where things are: they replace "$@".
left=$# prefix='' libtorch='' torch_root='' json=''
while [ "$left" -gt 0 ]; do
    name=$1 value=''
    shift && left=$((left - 1))
    case $name in
        --*=*)
            value=${name#*=} name=${name%%=*} ;;
        --with | --provider | --torch-index | --libtorch | --sha256 | --prefix | --sources | --jobs | \
            --torch-root | --kim-root | --cxx)
            value=$1
            shift && left=$((left - 1)) ;;
    esac
    case $name in
        -h | --help | --dry-run) exit 0 ;;
        --json) json=yes ;;
        --prefix) prefix=$value ;;
        --libtorch) libtorch=$value ;;
        --torch-root | --kim-root | --cxx)
            set -- "$@" "$name" "$value"
            [ "$name" != --torch-root ] || torch_root=$value ;;
    esac
done
if [ -n "$prefix" ] && [ -n "$libtorch" ] && [ -z "$torch_root" ]; then
    set -- "$@" --torch-root "$prefix/libtorch"
fi
if [ -n "$json" ]; then
    run env "$@" >&2
else
    run env "$@"
fi
