"""Write OpenKIM's published SNAP potential for silicon as a model of this driver."""

import argparse
import shutil
from pathlib import Path

import kimpy
import torch

PUBLISHED = "SNAP_ZuoChenLi_2019_Si__MO_869330304805_000"


class LinearModel(torch.nn.Module):
    """An atom's energy as a linear function of its bispectrum components.

    A. P. Thompson, L. P. Swiler, C. R. Trott, S. M. Foiles and G. J. Tucker, J. Comput. Phys. 285,
    316 (2015), eq. 16. offset: eV. coefficients: (width), eV.
    """

    def __init__(self, offset: float, coefficients: torch.Tensor) -> None:
        super().__init__()
        self.offset = offset
        # A buffer, so that the driver finds its type and takes it to the device it computes on.
        self.register_buffer("coefficients", coefficients)

    def forward(self, descriptor: torch.Tensor) -> torch.Tensor:
        """Energies of atoms, (n), eV, of their bispectrum components (n, width)."""
        return descriptor @ self.coefficients + self.offset


def published_parameters(name: str) -> dict[str, list[float]]:
    """All parameters of an installed model, through KIM's parameter interface."""
    try:
        accepted, model = kimpy.model.create(
            kimpy.numbering.zeroBased,
            kimpy.length_unit.A,
            kimpy.energy_unit.eV,
            kimpy.charge_unit.e,
            kimpy.temperature_unit.K,
            kimpy.time_unit.ps,
            name,
        )
    except RuntimeError:
        raise SystemExit(
            f"KIM does not find {name}. Debian has it in openkim-models; elsewhere: "
            f"kim-api-collections-management install user {name}"
        ) from None
    if not accepted:
        raise SystemExit(f"{name} does not take angstrom and eV")
    parameters = {}
    for index in range(model.get_number_of_parameters()):
        kind, extent, title, _ = model.get_parameter_metadata(index)
        is_real = kind == kimpy.data_type.Double
        get = model.get_parameter_double if is_real else model.get_parameter_int
        parameters[title] = [get(index, k) for k in range(extent)]
    return parameters


def descriptor_file(parameters: dict[str, list[float]]) -> str:
    """The bispectrum's settings in the layout of KLIFF.

    SNAP adds a component for each j1 >= j2 with j >= j1, which is KLIFF's diagonalstyle 3; a
    pair's cutoff is the sum of both radii times a factor; a component has twice KLIFF's jmax.
    """
    if int(parameters["quadraticflag"][0]) != 0:
        raise SystemExit(f"{PUBLISHED} is not linear in the bispectrum components")
    if len(parameters["R"]) != 1:
        raise SystemExit(f"{PUBLISHED} has {len(parameters['R'])} elements, not one")
    cutoff = 2 * parameters["R"][0] * parameters["rcutfac"][0]
    values = {
        "jmax": f"{parameters['twojmax'][0] / 2:g}",
        "rfac0": parameters["rfac0"][0],
        "diagonalstyle": 3,
        "rmin0": parameters["rmin0"][0],
        "switch_flag": int(parameters["switchflag"][0]),
        "bzero_flag": 0,
        "weights": parameters["W"][0],
    }
    lines = ["cos  # cutoff type", "", "1  # number of species", "", f"Si  Si  {cutoff!r}", ""]
    for title, value in values.items():
        lines += [f"# {title}", f"{value}", ""]
    return "\n".join(lines)


def linear_model(parameters: dict[str, list[float]]) -> LinearModel:
    offset, *coefficients = parameters["coeffs"]
    if int(parameters["bzeroflag"][0]) != 0:
        raise SystemExit(f"{PUBLISHED} subtracts the components of an isolated atom")
    return LinearModel(offset, torch.tensor(coefficients, dtype=torch.float64))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("TorchML_SNAP_Si"), metavar="FOLDER")
    output: Path = parser.parse_args().output

    parameters = published_parameters(PUBLISHED)
    output.mkdir(parents=True, exist_ok=True)
    torch.jit.script(linear_model(parameters)).eval().save(str(output / "SNAP_Si.pt"))
    (output / "SNAP_Si.dat").write_text(descriptor_file(parameters))
    for name in ("SNAP_Si.param", "CMakeLists.txt"):
        shutil.copy(Path(__file__).with_name(name), output)
    print(f"Wrote {output}. Next: torchml-install model install {output}")


if __name__ == "__main__":
    main()
