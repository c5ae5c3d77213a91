"""The potentials that OpenKIM publishes, as a package installs them: the quickstart compares with
one of them."""

from __future__ import annotations

import os
from pathlib import Path

from torchml_installer import files
from torchml_installer.detect.programs import which
from torchml_installer.detect.record import Finding
from torchml_installer.paths import home_folder

REFERENCE = "SW_StillingerWeber_1985_Si__MO_405512056662_005"
_VARIABLE = "KIM_API_PORTABLE_MODELS_DIR"
_FOLDERS = ("lib*/openkim-models", "lib*/kim-api", "lib/*/kim-api")


def detect() -> Finding:
    """Looks where the KIM-API's own package has them, then in the user's collections, for the one
    that stands for them all."""
    program = which("kim-api-collections-management")
    prefix = Path("/usr") if program is None else program[0].resolve().parent.parent
    for pattern in _FOLDERS:
        for folder in files.matching(prefix, pattern):
            if files.is_dir(folder / "portable-models" / REFERENCE):
                return _finding(folder, "beside the KIM-API")
    own = [Path(folder) for folder in os.environ.get(_VARIABLE, "").split(":") if folder]
    if (home := home_folder()) is not None:
        own += files.matching(home, ".kim-api/*/portable-models-dir")
    for folder in own:
        if files.is_dir(folder / REFERENCE):
            return _finding(folder, "the user's collections")
    return _finding(None, "")


def _finding(where: Path | None, how: str) -> Finding:
    return Finding(
        name="openkim-models",
        title="published KIM models",
        where=where,
        how=how,
        hint="`torchml-install deps --with openkim-models` (for the quickstart).",
    )
