"""The site's reference: it has all of the code, and the real readers accept its examples."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from docs._ext.generated import command_line as command_line_page
from docs._ext.generated import cxx_messages, doctor_json, python_api, troubleshooting
from tests.support import ROOT, DriverEnvironment
from tests.support.pages import Block, anchors, blocks, text_of
from torchml_installer import errors, remedies
from torchml_installer.models import descriptor_file, parameter_file

REFERENCE = ROOT / "docs/reference"
VARIABLES = REFERENCE / "environment-variables.md"
TROUBLESHOOTING = ROOT / "docs/troubleshooting.md"

#: What a launcher or a system sets, for the program and not for its user.
NOT_FOR_USERS = {
    "CRAYPE_VERSION",
    "CRAY_MPICH_VERSION",
    "LMOD_CMD",
    "LMOD_VERSION",
    "MODULESHOME",
    "PYTHONPATH",
    "TORCHINDUCTOR_CACHE_DIR",
}
_NAME = r"[A-Za-z][A-Za-z]*(?:_[A-Za-z0-9]+)*"
#: How C++ and CMake look variables up.
_LOOKUPS = (
    re.compile(rf'\bgetenv\("({_NAME})"\)'),
    re.compile(rf'\benvironment\("({_NAME})"\)'),
    re.compile(rf'\b(?:choose_|switch_)?variable\([^;]*?"({_NAME})"'),
    re.compile(rf"\bENV\{{({_NAME})\}}"),
    re.compile(r'"(KIM_MODEL_[A-Z_]+|TORCHML_INSTRUCTION_SET)"'),
)


def example(page: str, kind: str) -> Block:
    (found,) = [block for block in blocks(REFERENCE / page) if f":class: {kind}\n" in block.text]
    return found


def contents(block: Block) -> str:
    """A code block without the options of the directive."""
    return re.sub(r"\A(?::.*\n)+\n?", "", block.text)


# --- environment variables ---------------------------------------------------------------------


def looked_up_in_python(file: Path) -> set[str]:
    """Names in os.environ[...], os.environ.get(...) and `in os.environ`, also by constants."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def name(node: ast.expr) -> set[str]:
        value = node.value if isinstance(node, ast.Constant) else None
        value = constants.get(node.id) if isinstance(node, ast.Name) else value
        return {value} if isinstance(value, str) else set()

    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            found |= name(node.slice)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "os.environ.get":
            found |= name(node.args[0])
        elif isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]) == "os.environ":
            found |= name(node.left)
    return found


def looked_up() -> set[str]:
    found: set[str] = set()
    for folder in ("torchml_installer", "driver_src/python/torchml_driver"):
        for file in (ROOT / folder).rglob("*.py"):
            found |= looked_up_in_python(file)
    sources = (
        *ROOT.glob("driver_src/src/**/*.[ch]pp"),
        *ROOT.glob("driver_src/python/*.cpp"),
        *ROOT.glob("driver_src/cmake/*.cmake"),
        ROOT / "driver_src/CMakeLists.txt",
    )
    for file in sources:
        text = file.read_text(encoding="utf-8")
        for lookup in _LOOKUPS:
            found |= set(lookup.findall(text))
    return found


def documented() -> set[str]:
    rows = re.findall(r"^\| (`.*?) \|", text_of(VARIABLES), re.MULTILINE)
    return {name for row in rows for name in re.findall(rf"`({_NAME})`", row)}


def test_every_environment_variable_that_is_read_is_documented() -> None:
    read = looked_up()
    assert {"KIM_MODEL_PROFILE", "TORCHML_INSTRUCTION_SET", "TORCH_ROOT", "XDG_DATA_HOME"} <= read
    named = set(re.findall(rf"`({_NAME})`", text_of(VARIABLES)))
    assert {name for name in read - NOT_FOR_USERS - named if not name.startswith("FLUX_")} == set()


def test_every_environment_variable_that_is_documented_is_read() -> None:
    """By name, in quotes or from CMake's or a shell's environment."""
    code = "\n".join(
        file.read_text(encoding="utf-8", errors="replace")
        for folder in ("torchml_installer", "driver_src", "ci")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in (".py", ".cpp", ".hpp", ".cmake", ".txt", ".sh")
    )
    assert len(documented()) > 30
    unread = {
        name
        for name in documented()
        # Torch's own, of which the driver says what they do.
        if name not in ("OMP_NUM_THREADS",) and not re.search(rf"[\"'{{ $]{name}\b", code)
    }
    assert unread == set()


# --- pages that are generated --------------------------------------------------------------------


def test_every_failure_and_every_known_problem_has_an_entry() -> None:
    there = anchors(TROUBLESHOOTING)
    assert {f"exit-code-{cls.exit_code}" for cls in errors.failures()} <= there
    assert {f"known-problem-{remedy.name}" for remedy in remedies.KNOWN} <= there


def test_every_known_problem_is_explained() -> None:
    entries = re.split(r"^\(known-problem-", troubleshooting.known_problems(), flags=re.MULTILINE)
    silent = [entry.partition(")")[0] for entry in entries[1:] if "“" not in entry]
    assert silent == []


def test_every_message_of_the_driver_has_its_topic() -> None:
    places = tuple(place for topic in troubleshooting.TOPICS.values() for place in topic)
    for file in cxx_messages.SOURCES.rglob("*.?pp"):
        name = str(file.relative_to(cxx_messages.SOURCES))
        if cxx_messages.messages(file) and name != "base/variables.cpp":
            assert name.startswith(places), f"{name} has messages; add it to TOPICS"


def test_messages_are_found_as_they_are_printed(tmp_path: Path) -> None:
    source = tmp_path / "some.cpp"
    source.write_text(
        'fail("the file ", name, " has ", n + 1, " lines",\n     // not the last\n'
        '     more ? ", too" : "", "; shorten it.");\n'
        'warnings.add(std::string("a long warning about ") + (one ? "x" : "y") + "and more");\n'
    )
    first, second = cxx_messages.messages(source)
    assert first == "the file … has … lines, too; shorten it."
    assert second == "a long warning about …and more"


def test_every_command_is_on_the_page() -> None:
    page = command_line_page.markdown()
    for words, command in command_line_page.commands():
        assert f"## {words.removeprefix('torchml-install ')}\n" in page
        for option in command.params:
            if not option.opts[0].startswith("--") or getattr(option, "hidden", False):
                continue
            assert f"| `{option.opts[0]}" in page, (words, option.opts)


def test_every_field_of_doctors_json_is_described() -> None:
    whole = doctor_json.schema()
    page = doctor_json.markdown()
    for part in (whole, *whole["$defs"].values()):
        for field in part["properties"]:
            assert f"| `{field}` | " in page
            assert part["properties"][field].get("description", "const"), field


def test_every_public_name_of_the_module_is_described() -> None:
    described = {name for part in python_api.PARTS for name in part.names}
    page = text_of(REFERENCE / "python-api.md")
    tree = ast.parse((python_api.PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (public,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    for name in set(public) - described - {"__version__"}:
        assert f"`torchml_driver.{name}`" in page
    for part in python_api.PARTS:
        tree = ast.parse((python_api.PACKAGE / part.file).read_text(encoding="utf-8"))
        classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        assert classes <= described, part.file


# --- examples of formats ---------------------------------------------------------------------


def test_the_parameter_files_example_is_read_as_the_page_says() -> None:
    text = contents(example("parameter-file.md", "parameter-file"))
    parameters = parameter_file.parse(text, Path("page.param"))
    assert parameters.elements == ("Si", "C")
    assert parameters.pattern is parameter_file.CallingConvention.GRAPH
    assert parameters.influence_distance == 13.5
    assert parameters.as_text() == text


def test_every_setting_of_a_parameter_file_is_on_the_page() -> None:
    page = text_of(REFERENCE / "parameter-file.md")
    for name in parameter_file._SETTINGS:
        assert f"| `{name}` | " in page
    for precision in parameter_file.PRECISIONS:
        assert f"`{precision}`" in page


@pytest.mark.parametrize(
    ("kind", "width"), [("SymmetryFunctions", 3), ("Bispectrum", 14), ("SOAP", 50)]
)
def test_the_descriptor_files_examples_are_read(
    kind: str, width: int, tmp_path: Path, driver_environment: DriverEnvironment
) -> None:
    """By the installer, which knows the kind, and by the driver's engine."""
    from torchml_driver.descriptors import Descriptor

    file = tmp_path / "page.dat"
    file.write_text(contents(example("descriptor-file.md", f"descriptor-file {kind}")))
    assert descriptor_file.kind(file) == kind
    descriptor = Descriptor(file, ["Si"])
    assert (descriptor.kind, descriptor.width) == (kind, width)


def test_the_description_of_a_package_is_read(driver_environment: DriverEnvironment) -> None:
    from torchml_driver import _core

    text = contents(example("package-format.md", "package-description"))
    facts = _core.package_facts(text)
    assert facts["torch"] == "2.13.0"
    assert facts["entries"] == ["energies", "energies_and_gradient"]


def test_every_line_of_a_package_description_is_explained() -> None:
    header = (ROOT / "driver_src/src/runtime/compiled/package.hpp").read_text(encoding="utf-8")
    section = header.partition("The description in an AOTInductor package")[2].partition(
        "\nstruct"
    )[0]
    keys = set(re.findall(r"^///     (\w[\w-]*)", section, re.MULTILINE))
    page = text_of(REFERENCE / "package-format.md")
    assert {"torch", "argument", "entry", "file"} <= keys
    assert {key for key in keys if f"| `{key}" not in page and f"`{key} " not in page} == set()


def test_the_page_shows_the_cmakelists_that_pack_writes() -> None:
    from torchml_installer.models.pack import _CMAKE_LISTS
    from torchml_installer.support.names import DEFAULT_DRIVER_NAME

    (block,) = blocks(REFERENCE / "package-format.md", "cmake")
    written = _CMAKE_LISTS.format(
        name="My_Model", driver=DEFAULT_DRIVER_NAME, files='"My_Model.param" "My_Model.pt"'
    )
    assert block.text == written
