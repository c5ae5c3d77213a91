"""Names of KIM items: C identifiers, because KIM compiles them into the item's library."""

from __future__ import annotations

import re

from torchml_installer.errors import BadNameError

#: The KIM name of this driver in published models.
DEFAULT_DRIVER_NAME = "TorchML__MD_173118614730_001"

#: A file name has at most 255 bytes, and KIM's build makes file names longer than an item's name.
_LONGEST = 200
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_item_name(name: str, what: str) -> str:
    """Returns the name; raises BadNameError, with a legal name as the remedy.

    what: for the message, "model" or "driver".
    """
    if len(name) > _LONGEST:
        raise BadNameError(
            f"The {what} name has {len(name)} characters. More than {_LONGEST} make file names too "
            "long.",
            f"Choose a shorter one, for example --name {legal_name(name)[:40]}",
        )
    if _IDENTIFIER.fullmatch(name):
        return name
    legal = legal_name(name)
    raise BadNameError(
        f"The {what} name '{name}' is not a C identifier: KIM allows only letters, digits and "
        "underscores, and no digit at the beginning.",
        f"Choose another name, for example --name {legal}",
    )


def legal_name(name: str) -> str:
    """A C identifier that looks like ``name``."""
    legal = re.sub(r"[^A-Za-z0-9_]", "_", name) or "model"
    return f"M_{legal}" if legal[0].isdigit() else legal
