"""Sphinx's settings for the site: ``make docs``.

Pages are MyST Markdown. What the code knows is not written twice: pages take it from
``docs/_ext/generated.py`` while the site is built, and tables from ``benchmarks/``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

project = "TorchML driver for the KIM-API"
author = "the torchml-driver authors"
copyright = author
_stated = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
release = version = _stated[1] if _stated else ""

extensions = ["myst_parser", "sphinx_copybutton", "sphinx_design", "docs._ext.repository_pages"]
exclude_patterns = ["_ext", "README.md"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline", "attrs_block"]
myst_heading_anchors = 4
smartquotes = False  # "--name" is an option, not a dash

html_theme = "furo"
html_title = "TorchML driver"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
copybutton_exclude = ".linenos, .gp, .go"
pygments_style = "default"
pygments_dark_style = "github-dark"

# Types that another library documents, and that its inventory is not fetched for.
nitpick_ignore_regex = [("py:.*", ".*")]
suppress_warnings = ["epub.unknown_project_files"]
