"""The shells and formats that ``env`` writes, each with a template in ``env_templates/``.

A template's lines between the comments ``@ for each variable`` (or ``folder``) and ``@ end`` are
repeated for each one, with its name for ``@NAME@`` and its quoted value for ``@VALUE@``.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.support.resources import shared_folder


@dataclass(frozen=True)
class Settings:
    """The contents of an environment.

    variables: values by name; folders: to put in front of PATH, in this order.
    """

    variables: dict[str, str]
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class Format:
    """One shell or format.

    file_name: default name of the file; use, undo: commands for the user, with the file's
    ``{path}``, ``{folder}`` and ``{stem}``.
    """

    file_name: str
    use: str
    undo: str
    render: Callable[[Settings], str]


_LOOP = re.compile(r"^[ \t]*\S+@ for each (\w+)\n(.*?)^[ \t]*\S+@ end\n", re.DOTALL | re.MULTILINE)


def _from_template(name: str, quote: Callable[[str], str]) -> Callable[[Settings], str]:
    def render(settings: Settings) -> str:
        template = (shared_folder("env_templates") / name).read_text(encoding="utf-8")
        # The first folder goes in front last.
        loops: dict[str, Iterable[tuple[str, str]]] = {
            "variable": settings.variables.items(),
            "folder": [("PATH", str(folder)) for folder in reversed(settings.folders)],
        }

        def repeat(loop: re.Match[str]) -> str:
            # The value comes last, since it may itself look like a placeholder.
            return "".join(
                quote(value).join(loop[2].replace("@NAME@", name).split("@VALUE@"))
                for name, value in loops[loop[1]]
            )

        return _LOOP.sub(repeat, template)

    return render


def _quote_fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quote_csh(text: str) -> str:
    # csh expands its history inside quotes, too.
    return "'" + text.replace("'", "'\\''").replace("!", "\\!").replace("\n", "\\\n") + "'"


def _quote_lua(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _json(settings: Settings) -> str:
    document = {
        "schema": 1,
        "variables": settings.variables,
        "prepend": {"PATH": [str(folder) for folder in settings.folders]},
    }
    return json.dumps(document, indent=2) + "\n"


_UNDO = "torchml_deactivate"

FORMATS = {
    "sh": Format("env.sh", ". {path}", _UNDO, _from_template("env.sh.in", shlex.quote)),
    "fish": Format("env.fish", "source {path}", _UNDO, _from_template("env.fish.in", _quote_fish)),
    "csh": Format("env.csh", "source {path}", _UNDO, _from_template("env.csh.in", _quote_csh)),
    "lmod": Format(
        "torchml.lua",
        "module use {folder}; module load {stem}",
        "module unload {stem}",
        _from_template("modulefile.lua.in", _quote_lua),
    ),
    "json": Format("env.json", "", "", _json),
}
