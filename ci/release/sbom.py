"""The bill of materials: the contents of a release, its build tools and its requirements.

CycloneDX 1.6 as JSON (https://cyclonedx.org/docs/1.6/json/), written by the standard's own library.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

from ci.release.errors import ReleaseError
from ci.release.sources import Commit
from torchml_installer.driver.python_module import project_facts

LICENSE = "BSD-3-Clause"
#: The recipe that repackages another project's library from its wheel.
LIBDESCRIPTOR = Path("recipes/torchml-libdescriptor/recipe.yaml")
#: The tools that build the compiled packages, by their names on PyPI.
BUILT_WITH = ("torch", "pybind11", "scikit-build-core", "hatchling")
#: What the KIM driver links, which is neither on PyPI nor among the requirements.
_KIM_API = PackageURL("generic", name="kim-api")


def requirements_of(sources: Path) -> dict[str, tuple[Requirement, ...]]:
    """The requirements that each of the two Python projects states."""
    return {
        "torchml-installer": tuple(map(Requirement, project_facts(sources).dependencies)),
        "torchml-driver": tuple(
            map(Requirement, (*project_facts(sources / "driver_src").dependencies, "torch"))
        ),
    }


def _pypi(name: str, version: str | None = None) -> PackageURL:
    return PackageURL("pypi", name=re.sub(r"[-_.]+", "-", name).lower(), version=version)


def _product(name: str, version: str) -> Component:
    purl = _pypi(name, version)
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        purl=purl,
        bom_ref=str(purl),
        licenses=[LicenseExpression(LICENSE)],
        scope=ComponentScope.REQUIRED,
    )


def _file(name: str, digest: str) -> Component:
    return Component(
        type=ComponentType.FILE,
        name=name,
        bom_ref=f"file:{name}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
    )


def _needed(purl: PackageURL, properties: Iterable[Property]) -> Component:
    return Component(
        type=ComponentType.LIBRARY,
        name=purl.name,
        version=purl.version,
        purl=purl,
        bom_ref=str(purl),
        properties=properties,
    )


def libdescriptor(sources: Path) -> Component:
    """The contents of the conda package torchml-libdescriptor, according to its recipe.

    Raises ReleaseError if the recipe does not state them.
    """
    text = (sources / LIBDESCRIPTOR).read_text("utf-8")

    def stated(pattern: str) -> str:
        found = re.search(rf"^ +{pattern}$", text, re.MULTILINE)
        if found is None:
            raise ReleaseError(
                f"{LIBDESCRIPTOR} has no line that matches `{pattern}`. Add it, or adapt "
                "ci/release/sbom.py."
            )
        return found[1]

    purl = _pypi("libdescriptor", stated(r'version: "([\d.]+)"'))
    return Component(
        type=ComponentType.LIBRARY,
        name=purl.name,
        version=purl.version,
        purl=purl,
        bom_ref=str(purl),
        licenses=[LicenseExpression(stated(r"license: (\S+)"))],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=stated(r"sha256: ([0-9a-f]{64})"))],
        properties=[Property(name="torchml:role", value="in the conda package")],
    )


def bill(sources: Path, version: str, commit: Commit, digests: Mapping[str, str]) -> str:
    """Writes the bill. digests: the SHA-256 of every released file, by its path in ``dist/``."""
    root = Component(
        type=ComponentType.APPLICATION,
        name="torchml-driver",
        version=version,
        bom_ref=f"torchml-driver-{version}",
        licenses=[LicenseExpression(LICENSE)],
        properties=[Property(name="torchml:commit", value=commit.name)],
    )
    metadata = BomMetaData(
        component=root, timestamp=datetime.fromtimestamp(commit.epoch, timezone.utc)
    )
    # Two releases of the same files must give the same document.
    contents = json.dumps([commit.name, *sorted(digests.items())])
    bom = Bom(metadata=metadata, serial_number=uuid.uuid5(uuid.NAMESPACE_URL, contents))

    needed: dict[str, Component] = {}
    for name in BUILT_WITH:
        try:
            purl = _pypi(name, importlib.metadata.version(name).split("+")[0])
        except importlib.metadata.PackageNotFoundError:
            continue
        needed[name] = _needed(purl, [Property(name="torchml:role", value="built with")])
    needed["kim-api"] = _needed(
        _KIM_API, [Property(name="torchml:role", value="linked by the KIM driver")]
    )
    products = []
    for name, wanted in requirements_of(sources).items():
        product = _product(name, version)
        uses = [needed["kim-api"]] if name == "torchml-driver" else []
        for requirement in wanted:
            if requirement.name not in needed:
                stated = Property(name="torchml:requirement", value=str(requirement))
                needed[requirement.name] = _needed(_pypi(requirement.name), [stated])
            uses.append(needed[requirement.name])
        bom.components.add(product)
        bom.register_dependency(product, uses)
        products.append(product)
    for component in (*needed.values(), libdescriptor(sources)):
        bom.components.add(component)
    files = [_file(name, digest) for name, digest in sorted(digests.items())]
    for component in files:
        bom.components.add(component)
    bom.register_dependency(root, [*products, *files])
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def check(text: str) -> None:
    """Raises ReleaseError unless the document conforms to the standard's schema."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        raise ReleaseError(f"The bill of materials does not conform to CycloneDX 1.6: {error}")
