#!/usr/bin/env bash
# Runs ci/setup.sh where nothing is installed: in a minimal Debian in a temporary folder.
#
#   sudo ci/clean_root.sh [--keep] [options of ci/setup.sh]
#
#   --keep    keep the folder, and print its path
#
# It clones and tests the last commit. The folder is below TMPDIR and takes 4 GB. From this machine, it
# gets the network settings and certificates, and the sources of apt and pip (DEBIAN_MIRROR and
# DEBIAN_SUITE name others). It needs root and Debian's debootstrap.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

keep=off
if [ "${1:-}" = --keep ]; then
    keep=on
    shift
fi
if [ "${1:-}" = -h ] || [ "${1:-}" = --help ]; then
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' ci/clean_root.sh
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "ci/clean_root.sh: this needs root: sudo ci/clean_root.sh" >&2
    exit 1
fi
for tool in debootstrap git unshare; do
    if ! command -v "$tool" >/dev/null; then
        package="$tool"
        [ "$tool" != unshare ] || package=util-linux
        echo "ci/clean_root.sh: $tool is missing: apt-get install $package" >&2
        exit 1
    fi
done
suite="${DEBIAN_SUITE:-bookworm}"
mirror="${DEBIAN_MIRROR:-http://deb.debian.org/debian}"

root="$(mktemp -d "${TMPDIR:-/tmp}/torchml-root-XXXXXX")"
chmod 755 "$root" # apt downloads as another user
# Mounts below it belong to a namespace that no longer exists by then.
remove() {
    if [ "$keep" = on ]; then
        echo "kept: $root"
    else
        rm -rf --one-file-system "$root"
    fi
}
trap remove EXIT
trap 'exit 130' INT TERM

echo "a minimal Debian $suite in $root"
# For a Debian newer than this debootstrap, use the script of unstable.
scripts="/usr/share/debootstrap/scripts"
[ -e "$scripts/$suite" ] && script="$scripts/$suite" || script="$scripts/sid"
if ! debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" "$script" \
    >"$root.log" 2>&1; then
    tail -n 15 "$root.log" >&2
    echo "ci/clean_root.sh: debootstrap failed; full log: $root.log" >&2
    exit 1
fi
rm -f "$root.log"

# Copy the network settings, and the sources of apt and pip.
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
    [ ! -e "$file" ] || cp -L "$file" "$root$file"
done
cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/"
# Use this machine's sources if they are for that Debian; otherwise the one that debootstrap wrote.
if grep -qsw "$suite" /etc/apt/sources.list.d/debian.sources; then
    cp /etc/apt/sources.list.d/debian.sources "$root/etc/apt/sources.list.d/"
    rm -f "$root/etc/apt/sources.list"
fi
for settings in "${HOME:-/root}/.config/pip" "${HOME:-/root}/.pip"; do
    if [ -d "$settings" ]; then
        mkdir -p "$root/root/.config"
        cp -r "$settings" "$root/root/.config/pip"
        break
    fi
done
git clone -q --depth 1 "file://$PWD" "$root/root/torchml-driver"

variables=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
while IFS= read -r variable; do
    variables+=("$variable")
done < <(env | grep -E '^((HTTPS?|NO)_PROXY|(https?|no)_proxy|PIP_[A-Z_]+|SSL_CERT_FILE)=' | grep -v CACHE)

# Make folders in which this machine's pip finds packages available there, too. An index has its pages
# in simple/, and its files beside that. Constraints are in a separate file.
folders=()
while IFS= read -r place; do
    place="${place%/simple}"
    if [ -d "$place" ]; then
        folders+=("$place")
    elif [ -f "$place" ] && [ ! -e "$root$place" ]; then
        mkdir -p "$(dirname "$root$place")"
        cp "$place" "$root$place"
    fi
done < <({ env | grep ^PIP_ || true; cat /etc/pip.conf "$root/root/.config/pip/pip.conf" 2>/dev/null || true; } |
    grep -oE '(=|file://| )/[^ ]+' | sed -E 's|^[^/]*(file://)?||' | sort -u)

# shellcheck disable=SC2016
unshare --mount --propagation private --pid --fork --kill-child bash -c '
    set -e
    root="$1"; shift
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    while [ "$1" != -- ]; do
        mkdir -p "$root$1"
        mount --bind -o ro "$1" "$root$1"
        shift
    done
    shift
    exec chroot "$root" env -i "$@"
' bash "$root" ${folders[@]+"${folders[@]}"} -- "${variables[@]}" \
    bash -c 'cd /root/torchml-driver && ci/setup.sh "$@" && . .venv/bin/activate && torchml-install quickstart' bash "$@"
