"""Removes the program torchml-install from pip's RECORD."""

import re
import sysconfig
from pathlib import Path

site_packages = Path(sysconfig.get_path("purelib"))
(record,) = site_packages.glob("torchml_installer-*.dist-info/RECORD")
text, count = re.subn(
    r"^(\S*/torchml-install(?:\.exe)?),.*$", r"\1,,", record.read_text("utf-8"), flags=re.MULTILINE
)
assert count == 1, text
record.write_text(text, "utf-8")
