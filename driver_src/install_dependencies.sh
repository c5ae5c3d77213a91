#!/bin/sh
# Installs what the driver's build misses, and writes env.sh into the current folder:
#
#   ./install_dependencies.sh [options of `torchml-install deps`, for example --dry-run]
#
# It asks nothing. The work is done by torchml-install, which has more to offer; this file bears the
# name that older instructions mention.

folder=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit

# Installed; or, in a clone of the whole repository, beside this folder.
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
        echo "  what to do: in an environment of your own (python3 -m venv DIR; . DIR/bin/activate):" >&2
        echo "    python -m pip install '$(dirname -- "$folder")'" >&2
        exit 1
    fi
    run() { PYTHONPATH="$(dirname -- "$folder")${PYTHONPATH:+:$PYTHONPATH}" "$python" -m torchml_installer "$@"; }
else
    echo "install_dependencies.sh: the command torchml-install, which does the work, was not found." >&2
    echo "  what to do: python -m pip install torchml-installer" >&2
    echo "  or by hand: see README.md beside this file for what the driver needs." >&2
    exit 1
fi

run deps "$@" || exit
for option in "$@"; do
    if [ "$option" = --dry-run ]; then
        exit 0
    fi
done
run env
