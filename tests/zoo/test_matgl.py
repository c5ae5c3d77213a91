"""MatGL's potentials, packed by one command, give MatGL's own numbers in LAMMPS."""

from __future__ import annotations

import pytest

from tests.support import DriverEnvironment
from tests.zoo.libraries import Library, crystal, library, require_same_in_lammps

pytestmark = pytest.mark.slow

ELEMENTS = ("H", "O", "Si")


@pytest.fixture(scope="module")
def matgl(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Library:
    folder = tmp_path_factory.mktemp("matgl")
    return library(driver_environment, folder, "matgl", "matgl_models", ["matgl==4.1.2"])


@pytest.mark.parametrize("kind", ["m3gnet", "tensornet"])
def test_lammps_gives_matgls_numbers_on_any_ranks(
    matgl: Library, driver_environment: DriverEnvironment, kind: str
) -> None:
    source = matgl.make(kind, "")
    answer = matgl.packed(source, name=f"MatGL_{kind}")
    assert (answer["cutoff"], answer["n_layers"], answer["precision"]) == (4.0, 2, "float32")
    expected = matgl.compute(kind, source, crystal(ELEMENTS), "float32")
    packed = matgl.folder / f"MatGL_{kind}"
    require_same_in_lammps(driver_environment, matgl.folder, packed, ELEMENTS, expected, 2e-6)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("m3gnet_rough", "use_smooth=True"),
        ("m3gnet_mean", "is_intensive"),
        ("m3gnet_constant", "adds a constant to the energy of each system"),
    ],
)
def test_what_no_atom_has_or_matgl_does_not_export_is_refused(
    matgl: Library, kind: str, message: str
) -> None:
    done = matgl.pack(matgl.make(kind, ""))
    assert done.returncode == 50
    assert message in " ".join(done.stderr.split())


def test_a_folder_without_a_potential_is_named(matgl: Library) -> None:
    (matgl.folder / "empty").mkdir()
    done = matgl.pack(matgl.folder / "empty")
    assert done.returncode == 30
    assert "it has no model.json" in done.stderr
