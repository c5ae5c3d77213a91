"""Exit codes, from ``torchml_installer.errors``."""

from __future__ import annotations

from torchml_installer import errors

from .text import escaped, table, title


def markdown() -> str:
    classes = {cls.exit_code: cls for cls in errors.failures()}
    rows = []
    for code, meaning in errors.exit_codes().items():
        cls = classes.get(code)
        link = ""
        if cls is not None:
            link = f"[{title(cls.__name__)}](../troubleshooting.md#exit-code-{code})"
        rows.append((f"`{code}`", escaped(meaning), link))
    return table(("code", "meaning", "what to do"), rows)
