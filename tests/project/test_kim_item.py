"""driver_src is complete by itself: for KIM, and for users who have only the folder."""

from __future__ import annotations

import re

from tests.support import DRIVER, ROOT

ITEM = ROOT / "driver_src"
#: Variables of this project, of the libraries that it uses, and of KIM.
OURS = r"(?:KIM_|TORCHML_)\w+|\w+_ROOT"


def test_it_has_the_project_s_license() -> None:
    assert (ITEM / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_kim_finds_its_metadata() -> None:
    lines = (ITEM / "kimspec.edn").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith(";"))
    assert re.fullmatch(r'\{\n(?: "[a-z-]+" "[^"]+"\n)+\}', text)
    facts = dict(re.findall(r'^ "([a-z-]+)" "([^"]+)"$', text, re.MULTILINE))
    assert facts["extended-id"] == DRIVER
    assert facts["kim-item-type"] == "model-driver"
    assert f'license = "{facts["license"]}"' in (ITEM / "pyproject.toml").read_text()
    wanted = re.search(
        r"find_package\(KIM-API-ITEMS ([\d.]+)", (ITEM / "CMakeLists.txt").read_text()
    )
    assert wanted is not None
    assert facts["kim-api-version"] == wanted[1]


def test_its_page_names_nothing_that_is_not_in_it() -> None:
    text = (ITEM / "README.md").read_text(encoding="utf-8")
    assert "`make " not in text
    for path in re.findall(r"`((?:src|python|cmake|fuzz|ci|tests)/[\w./-]*)`", text):
        assert (ITEM / path).exists() or (ITEM / "src" / path).exists(), path


def test_every_environment_variable_that_the_driver_reads_is_documented() -> None:
    read: set[str] = set()
    for source in (*ITEM.glob("src/**/*.[ch]pp"), *ITEM.glob("python/*.cpp")):
        read |= set(re.findall(rf'"({OURS})"', source.read_text(encoding="utf-8")))
    for source in (ITEM / "CMakeLists.txt", *ITEM.glob("cmake/*.cmake")):
        read |= set(re.findall(rf"ENV\{{({OURS})\}}", source.read_text(encoding="utf-8")))
    assert {"KIM_MODEL_PROFILE", "TORCHML_INSTRUCTION_SET", "TORCH_ROOT"} <= read
    pages = (ROOT / "docs/reference/environment-variables.md", ITEM / "README.md")
    documented = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    assert {name for name in read if f"`{name}`" not in documented} == set()
