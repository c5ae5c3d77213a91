"""Synthetic machines: trees that look like a libtorch or a KIM-API; programs that are scripts."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
#: A folder name that breaks whatever passes it through a shell.
ODD_NAME = 'it\'s a "folder" with $HOME & spaces'


def write(path: Path, text: str = "", *, executable: bool = False) -> Path:
    """Writes a file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    if executable:
        path.chmod(0o755)
    return path


def make_torch(
    root: Path,
    version: str = "2.13.0+cpu",
    *,
    config: str = "",
    headers: bool = True,
    libraries: bool = True,
    cuda: str | None = None,
) -> Path:
    """A folder that looks like site-packages/torch."""
    cuda_text = "None" if cuda is None else f"'{cuda}'"
    write(
        root / "version.py",
        f"__version__ = '{version}'\ndebug = False\ncuda: Optional[str] = {cuda_text}\n",
    )
    write(root / "share/cmake/Torch/TorchConfig.cmake", config)
    if headers:
        guard = "#if !defined(_MSC_VER) && __cplusplus < 201703L\n#error\n#endif\n"
        write(root / "include/ATen/ATen.h", guard)
        write(root / "include/torch/script.h")
    if libraries:
        write(root / "lib/libtorch_cpu.so")
        write(root / "lib/libc10.so")
    return root


OLD_ABI = 'set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI=0")\n'

_COLLECTIONS_INFO = """\
#!/bin/sh
# Answers as KIM's program does, for one folder per collection.
user={user}
case "$1" in
    config_file) echo "$user/$2" ;;
    system) echo "$user/../system/$2" ;;
    env)
        if [ "$2" = model_drivers ]; then value=$KIM_API_MODEL_DRIVERS_DIR
        else value=$KIM_API_PORTABLE_MODELS_DIR; fi
        if [ -n "$value" ]; then echo "$value"; fi ;;
    model_drivers)
        for place in "environment $KIM_API_MODEL_DRIVERS_DIR" "user $user/model_drivers"; do
            if [ -d "${{place#* }}/$3" ]; then
                echo "${{place%% *}} $3 ${{place#* }}"
                break
            fi
        done ;;
esac
"""


def make_kim(prefix: Path, version: str = "2.3.0", *, development: bool = True) -> Path:
    """A prefix that looks like the KIM-API's; its user collection is ``prefix/user``."""
    if development:
        write(
            prefix / "share/cmake/kim-api/kim-api-config.cmake",
            f'set(KIM-API_VERSION_STRING "{version}+GNU")\n',
        )
        write(prefix / "share/cmake/kim-api-items/kim-api-items-config.cmake")
    write(
        prefix / "libexec/kim-api/kim-api-collections-info",
        _COLLECTIONS_INFO.format(user=_shell_quoted(prefix / "user")),
        executable=True,
    )
    return prefix


def _shell_quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"


def make_program(path: Path, output: str, code: int = 0) -> Path:
    """A program that prints something, whatever its arguments."""
    return write(path, f"#!/bin/sh\necho '{output}'\nexit {code}\n", executable=True)


NEIGHBOUR_FORWARD = """\
class Model(Module):
  __parameters__ = []
  training : bool
  def forward(self: __torch__.Model,
    species: Tensor,
    coords: Tensor,
    n_neigh: Tensor,
    nlist: Tensor,
    contributing: Tensor) -> Tensor:
    return torch.sum(coords)
"""


def make_torchscript(path: Path, code: str = NEIGHBOUR_FORWARD) -> Path:
    """A file laid out as TorchScript is, made without torch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        # A pickle that names one class: GLOBAL "__torch__ Model", STOP.
        archive.writestr("model/data.pkl", b"\x80\x02c__torch__\nModel\n.")
        archive.writestr("model/code/__torch__.py", code)
        archive.writestr("model/constants.pkl", b"\x80\x02).")
        archive.writestr("model/data/0", bytes(4096))
    return path


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    members: Mapping[str, str | bytes],
    *,
    requires: Sequence[str] = (),
    programs: Mapping[str, str] | None = None,
) -> Path:
    """A wheel that pip takes; programs: name → module:function."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    facts = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
    tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = "".join(f"{key} = {value}\n" for key, value in (programs or {}).items())
    told = {"METADATA": metadata, "WHEEL": tags, "RECORD": ""}
    if programs:
        told["entry_points.txt"] = f"[console_scripts]\n{lines}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for member, content in members.items():
            entry = zipfile.ZipInfo(member)
            entry.external_attr = 0o100755 << 16  # programs run
            made.writestr(entry, content, zipfile.ZIP_DEFLATED)
        for member, content in told.items():
            made.writestr(f"{facts}/{member}", content)
    return path


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str


_WITHOUT = "-dac_override,-dac_read_search"
_WITH_PERMISSIONS = ("setpriv", f"--bounding-set={_WITHOUT}", f"--inh-caps={_WITHOUT}")


@dataclass
class Machine:
    """A synthetic machine: what is on it, and running the command there."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def install(
        self, *arguments: str | Path, script: Path | None = None, almighty: bool = True
    ) -> Outcome:
        """Runs ``torchml-install`` with these arguments; not almighty: permissions hold for root,
        too."""
        start = ["-m", "torchml_installer"] if script is None else [str(script)]
        before = () if almighty or os.geteuid() != 0 else _WITH_PERMISSIONS
        done = subprocess.run(
            [*before, sys.executable, *start, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)
