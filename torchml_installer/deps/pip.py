"""Packages of the user's Python: with pip, or with uv where there is no pip."""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import json
import os
import re
import shlex
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.detect.programs import which
from torchml_installer.detect.python_packages import version_of
from torchml_installer.detect.record import version_tuple
from torchml_installer.errors import PackageInstallError, TorchMLError
from torchml_installer.support import build_folder, receipts, user_python
from torchml_installer.support.paths import home_folder
from torchml_installer.support.python_paths import python_path

#: Options of pip that install packages where the Python does not find them, or not at all.
_ELSEWHERE = ("user", "target", "prefix", "root", "python", "dry-run")
#: The kind of receipt for packages that ``deps`` and ``driver`` install with pip.
KIND = "python-packages"
#: What another process is doing while this one waits.
_WORK = "that installs packages"
#: Prints the packages of a Python: name → version and names of requirements.
_LIST = """\
import importlib.metadata, json, re
plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()
found = {}
for item in importlib.metadata.distributions():
    if item.metadata["Name"]:
        needs = [line for line in item.requires or () if "extra ==" not in line]
        needs = [plain(re.match(r"[A-Za-z0-9._-]*", line)[0]) for line in needs]
        found.setdefault(plain(item.metadata["Name"]), (item.version, needs))
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Obstacle:
    """Why packages cannot be installed into the user's Python. Both are clauses."""

    reason: str
    remedy: str


def obstacle() -> Obstacle | None:
    """None if packages can be installed into the user's Python."""
    python = user_python.user_python().executable
    if _is_managed_by_the_system():
        return Obstacle(
            f"the active Python {python} belongs to the system, which does not permit pip",
            "activate a virtual environment (make one with `python3 -m venv DIR`)",
        )
    if (explanation := user_python.in_tool_environment(user_python.user_python())) is not None:
        return Obstacle(
            f"{explanation[0][:-1]}, where your programs would not find the packages",
            f"{explanation[1][0].lower()}{explanation[1][1:-1]}",
        )
    if not available():
        return Obstacle(
            f"the active Python {python} has no pip",
            f"install it with `{shlex.quote(python)} -m ensurepip`",
        )
    return None


def available() -> bool:
    """Whether some program can install packages, possibly only into another folder."""
    return user_python.user_python().has("pip") or which("uv") is not None


def install_command(*words: str | Path) -> list[str]:
    """The command that installs packages; words: options that pip and uv share, and packages.

    Prefers pip, which users have configured (index, proxy, certificates).
    """
    said = [str(word) for word in words]
    python = user_python.user_python()
    if not python.has("pip") and (uv := which("uv")) is not None:
        return [str(uv[0]), "pip", "install", "--python", python.executable, *said]
    start = (python.executable, "-m", "pip", "install")
    quiet = ("--disable-pip-version-check", "--no-input")
    return [*start, *quiet, *_into_the_python(python, target="--target" in said), *said]


def _into_the_python(python: user_python.Python, *, target: bool) -> Iterator[str]:
    """Options that undo settings which make pip install elsewhere, where this Python would not find
    our packages.

    target: the command names a folder, which cannot be combined with such settings.
    """
    found = _settings_elsewhere(python)
    # If only an administrator may write there, the Python also searches ~/.local.
    if "user" in found and (target or os.access(python.folder("purelib"), os.W_OK)):
        yield "--no-user"
    if "target" in found and not target:
        yield "--target="
    if "prefix" in found:
        yield "--prefix=" if target else f"--prefix={python.prefix}"
    if "root" in found:
        yield "--root=/"


def _settings_elsewhere(python: user_python.Python) -> dict[str, str]:
    """pip's settings that keep packages out of this Python: name → where it is set."""
    found = {}
    for file in _configuration_files(python):
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(file.read_text(encoding="utf-8", errors="replace"))
        except (OSError, configparser.Error):  # pip itself reports the error
            continue
        for section in ("global", "install"):
            for name in _ELSEWHERE:
                if parser.get(section, name, fallback=""):
                    found[name] = f"{name} in {file}"
    for name in _ELSEWHERE:
        variable = f"PIP_{name.upper().replace('-', '_')}"
        if os.environ.get(variable):
            found[name] = variable
    return found


def _configuration_files(python: user_python.Python) -> Iterator[Path]:
    """The files in which pip may find settings."""
    for folder in ("/etc/xdg/pip", "/etc"):
        yield Path(folder, "pip.conf")
    home = home_folder() or Path("/")
    yield home / ".pip/pip.conf"
    yield Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"
    yield python.prefix / "pip.conf"
    if value := os.environ.get("PIP_CONFIG_FILE"):
        yield Path(value)


def require_installed(
    requirements: Sequence[str], failure: type[TorchMLError] = PackageInstallError
) -> None:
    """Raises ``failure`` unless the user's Python, started anew, has all of these.

    pip also succeeds if its settings make it do something else.
    """
    present = installed()
    missing = [one for one in requirements if present is not None and plain(one) not in present]
    if not missing:
        return
    python = user_python.user_python()
    settings = ", ".join(_settings_elsewhere(python).values())
    cause = (
        f"Unset what makes pip install elsewhere: {settings}."
        if settings
        else "Unset what makes pip install elsewhere; `python -m pip config list` shows it."
    )
    raise failure(
        f"pip installed {', '.join(missing)} without an error, but {python.executable} does not "
        f"find {'it' if len(missing) == 1 else 'them'}.",
        f"{cause} Then run this command again.",
    )


def environment() -> dict[str, str]:
    """Variables that make pip print its progress in a form that ``process`` can read."""
    # Older ones do not know the word, and fail.
    known = version_tuple(version_of("pip")) >= (24, 1)
    return {"PIP_PROGRESS_BAR": "raw"} if known and "PIP_PROGRESS_BAR" not in os.environ else {}


def uninstall_command(python: str, names: Sequence[str]) -> list[str]:
    """The command that removes packages of a Python, which need not be the active one."""
    if _run([python, "-c", "import pip"]).returncode != 0 and (uv := which("uv")) is not None:
        return [str(uv[0]), "pip", "uninstall", "--python", python, *names]
    return [python, "-m", "pip", "uninstall", "--yes", "--quiet", *names]


def installed(python: str | None = None) -> dict[str, tuple[str, list[str]]] | None:
    """The packages of a Python, by default the user's: normalised name → (version, requirements).
    None if that Python fails."""
    done = _run([python or user_python.user_python().executable, "-c", _LIST])
    if done.returncode != 0:
        return None
    answer = json.loads(done.stdout)
    return {name: (str(version), list(needs)) for name, (version, needs) in answer.items()}


@contextlib.contextmanager
def locked() -> Iterator[build_folder.Lock]:
    """Locks the packages of the user's Python for this process and the programs that inherit the
    lock: two pips in one environment would undo each other's work."""
    prefix = str(user_python.user_python().prefix)
    with build_folder.locked(_lock(prefix), _WORK) as held:
        yield held


@contextlib.contextmanager
def recorded(asked: Sequence[str]) -> Iterator[None]:
    """Writes a receipt for the packages that the block adds to the user's Python.

    asked: the packages or requirements to install. If the process is killed, the next one or
    ``claim_interrupted`` claims the packages. The caller holds ``locked``.
    """
    python = user_python.user_python()
    pending = receipts.pending(KIND, python.executable)
    _claim(pending)
    before = installed()
    if before is not None:
        begun = {
            "python": python.executable,
            "prefix": str(python.prefix),
            "asked": list(map(plain, asked)),
        }
        receipts.write_pending(pending, {**begun, "before": _versions(before)})
    try:
        yield
    finally:
        user_python.look_again()
        after = installed()
        if before is not None and after is not None:
            had, has = _versions(before), _versions(after)
            _record(python.executable, has.keys() - had.keys(), had, has)
        receipts.remove_pending(pending)


def claim_interrupted() -> None:
    """Writes the receipts for processes that were killed before they could."""
    for pending in receipts.all_pending(KIND):
        begun = receipts.read_pending(pending)
        # Waits for a pip that outlives its parent.
        with build_folder.locked(_lock(str(begun.get("prefix", ""))), _WORK):
            _claim(pending)


def _claim(pending: Path) -> None:
    """Claims the requested new packages and their requirements; other new ones are not ours."""
    begun = receipts.read_pending(pending)
    python, before = str(begun.get("python", "")), begun.get("before")
    after = installed(python) if python else None
    if after is not None and isinstance(before, dict):
        wanted = [str(name) for name in begun.get("asked", ())]
        for name in wanted:  # grows as it goes
            wanted += [needed for needed in after.get(name, ("", []))[1] if needed not in wanted]
        own = {name for name in wanted if name in after and name not in before}
        _record(python, own, before, _versions(after))
    receipts.remove_pending(pending)


def _record(
    python: str, new: Collection[str], before: Mapping[str, str], after: Mapping[str, str]
) -> None:
    own = set(new)
    for receipt in receipts.read_all():
        if receipt.kind == KIND and receipt.made_from.get("python") == python:
            own |= {name for name, then in receipt.packages.items() if before.get(name) == then}
    packages = {name: after[name] for name in sorted(own) if name in after}
    if packages:
        made_from = {"python": python}
        receipts.write(receipts.Receipt(KIND, KIND, (), made_from, packages=packages))


def plain(requirement: str) -> str:
    """The normalised name in a requirement."""
    match = re.match(r"[A-Za-z0-9._-]*", requirement)
    return re.sub(r"[-_.]+", "-", match[0] if match else "").lower()


def _lock(prefix: str) -> Path:
    key = hashlib.sha256(prefix.encode(errors="surrogateescape")).hexdigest()[:12]
    return build_folder.default_parent() / f"deps-packages-{key}"


def _versions(packages: Mapping[str, tuple[str, list[str]]]) -> dict[str, str]:
    return {name: version for name, (version, _needs) in packages.items()}


def _is_managed_by_the_system() -> bool:
    """PEP 668: the marker counts only outside virtual environments."""
    if user_python.user_python().is_virtual:
        return False
    return (python_path("stdlib") / "EXTERNALLY-MANAGED").is_file()


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs it in the root folder: Python with -c would find packages in the current one."""
    try:
        return subprocess.run(
            command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        return subprocess.CompletedProcess(list(command), 127, "", str(error))
