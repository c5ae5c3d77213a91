"""Makes references.npz and the .dat files beside it: what libdescriptor 0.2.3 computes.

    python -m venv reference && reference/bin/pip install libdescriptor==0.2.3 "numpy<2"
    reference/bin/python tests/data/descriptors/make_references.py

The shared library inside libdescriptor's wheel is called directly (see libdescriptor_interface),
so that several species have their own cutoffs. Where libdescriptor's Python module imports
(Python 3.8 to 3.10) and can be given the same settings, both are compared.

references.npz has, for each structure S and descriptor D of CASES:

    structure/S/elements       the model's elements in its order, species 0, 1, ...
    structure/S/species        (n)     index of each atom's element
    structure/S/positions      (n, 3)  angstrom
    structure/S/cell           (3, 3)  angstrom, in rows; zero where not periodic
    structure/S/pbc            (3)
    case/D@S/values            (n, width)
    case/D@S/weights           (n, width) random
    case/D@S/products          (n, 3)  1/angstrom: derivative of sum(weights * values) by the
                                       positions of the atoms (of an atom and all its images)
    case/D@S/strain_products   (3, 3)  derivative of the same sum by a strain e that takes each
                                       distance vector r to r + e r, at zero strain
    case/D@S/jacobian          (width, n, 3)  derivative of the first atom's values; only for
                                              the structures JACOBIANS

Nothing has been corrected: where libdescriptor's derivative is nan (SOAP with a neighbour exactly
above or below the centre), so is the reference's.
"""

import itertools
import sys
from importlib import util
from pathlib import Path

import numpy as np
from libdescriptor_interface import (
    BISPECTRUM,
    SOAP,
    SYMMETRY_FUNCTIONS,
    Library,
    installed_library,
)

FOLDER = Path(__file__).resolve().parent

# N. Artrith and J. Behler, Phys. Rev. B 85, 045439 (2012), in KLIFF's order and with its digits.
BOHR = 0.529177  # angstrom, as KLIFF has it
SET51_G2 = [0.001, 0.01, 0.02, 0.035, 0.06, 0.1, 0.2, 0.4]
SET51_G4 = [
    (eta, zeta, sign)
    for eta, zetas in (
        (0.0001, (1, 2)),
        (0.003, (1, 2)),
        (0.008, (1, 2)),
        (0.015, (1, 2, 4, 16)),
        (0.025, (1, 2, 4, 16)),
        (0.045, (1, 2, 4, 16)),
        (0.08, (1, 2, 4, 16)),
    )
    for zeta in zetas
    for sign in (-1, 1)
    if (eta, zeta, sign) != (0.08, 16, -1)
]
SET51 = [
    ("g2", [[eta / BOHR**2, 0.0] for eta in SET51_G2]),
    ("g4", [[zeta, sign, eta / BOHR**2] for eta, zeta, sign in SET51_G4]),
]
EVERY_KIND = [
    ("g3", [[1.3], [0.0], [-2.7]]),
    ("g5", [[1.5, -1, 0.03], [3, 1, 0.0], [16, 1, 0.1]]),
    ("g1", [[]]),
    ("g4", [[2, 1, 0.05], [0.7, -1, 0.01], [1, -1, 0.05], [5, 0.5, 0.2]]),
    ("g2", [[0.3, 0.7], [1.1, 2.0], [0.3, -0.4], [0.0, 1.0]]),
]


def rattled(positions, amount, seed):
    return positions + np.random.default_rng(seed).uniform(-amount, amount, np.shape(positions))


def crystal(basis, a, repeat):
    """Positions and cell of a cubic crystal, its atoms in the order of the cells."""
    cells = np.array(list(itertools.product(*map(range, repeat))), dtype=float)
    positions = (cells[:, None, :] + np.array(basis)[None]).reshape(-1, 3) * a
    return positions, np.diag(np.array(repeat, dtype=float) * a)


FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
DIAMOND = np.concatenate([FCC, FCC + 0.25])


def silicon():
    positions, cell = crystal(DIAMOND, 5.43, (1, 1, 1))
    return ["Si"], [0] * 8, rattled(positions, 0.15, 1), cell


# Sheared cells, so that no image of an atom is exactly above it, where SOAP's reference is nan.
SHEAR = np.array([[1.0, 0.06, 0.0], [0.0, 0.97, 0.1], [0.03, 0.0, 1.02]])


def silicon_carbide():
    """The elements are not in alphabetical order."""
    positions, cell = crystal(DIAMOND, 4.36, (1, 1, 1))
    return ["Si", "C"], [0] * 4 + [1] * 4, rattled(positions, 0.12, 2) @ SHEAR, cell @ SHEAR


def alloy():
    positions, cell = crystal(FCC, 3.6, (2, 2, 1))
    species = np.random.default_rng(3).permutation([0, 1, 2, 3, 4] * 3 + [0])
    positions = rattled(positions, 0.15, 4)
    return ["Ni", "Co", "Fe", "Mn", "Cr"], species, positions @ SHEAR, cell @ SHEAR


def dense():
    """Silicon compressed to less than half its volume."""
    positions, cell = crystal(FCC, 3.3, (2, 1, 1))
    return ["Si"], [0] * len(positions), rattled(positions, 0.1, 5) @ SHEAR, cell @ SHEAR


def sparse():
    """Atoms with two, one or no neighbours."""
    positions = [
        [0, 0, 0],
        [2.3, 0.4, -0.3],
        [0.9, 2.8, 1.1],
        [20, 0, 0],
        [20.7, 3.1, 0.6],
        [0, 40, 0],
    ]
    return ["Si"], [0] * 6, np.array(positions, dtype=float), None


def alone():
    return ["Si"], [0], np.array([[0.1, 0.2, 0.3]]), None


def at_the_cutoff():
    """Neighbours exactly 3 angstrom away, from the first atom and from each other."""
    positions = [[0, 0, 0], [3, 0, 0], [0, 3, 0], [1, 2, 2], [1, -2, 2], [1.5, 0.75, -0.5]]
    return ["Si"], [0] * 6, np.array(positions, dtype=float), None


def collinear():
    """Neighbours in line with the first atom, on both sides, one behind another: along a
    diagonal and along x and z."""
    positions = [
        [0, 0, 0],
        [1, 1, 1],
        [-1, -1, -1],
        [1.5, 1.5, 1.5],
        [2, 0, 0],
        [-2.5, 0, 0],
        [0, 0, 1.75],
        [0, 0, -2.25],
    ]
    return ["Si"], [0] * 8, np.array(positions, dtype=float), None


def cluster():
    """Two elements close around the first atom."""
    positions = [
        [0, 0, 0],
        [1.2, 0.9, -0.8],
        [-1.4, 0.3, 1.1],
        [0.2, -1.9, 0.6],
        [-0.5, 1.0, -2.1],
        [2.0, -1.3, 1.4],
    ]
    return ["Si", "C"], [0, 1, 0, 1, 1, 0], np.array(positions, dtype=float), None


STRUCTURES = {
    make.__name__: make
    for make in (
        silicon,
        silicon_carbide,
        alloy,
        dense,
        sparse,
        alone,
        at_the_cutoff,
        collinear,
        cluster,
    )
}
JACOBIANS = ("sparse", "at_the_cutoff", "collinear", "cluster")

PAIR_CUTOFFS = {
    "one5": [[5.0]],
    "one4": [[4.0]],
    "one3": [[3.0]],
    "two": [[4.2, 3.6], [3.6, 3.1]],
    "five": [
        [4.0, 3.9, 3.8, 3.7, 3.6],
        [3.9, 4.1, 3.5, 3.4, 3.3],
        [3.8, 3.5, 3.75, 3.65, 3.55],
        [3.7, 3.4, 3.65, 3.45, 3.05],
        [3.6, 3.3, 3.55, 3.05, 4.05],
    ],
}
ELEMENTS = {1: ["Si"], 2: ["Si", "C"], 5: ["Ni", "Co", "Fe", "Mn", "Cr"]}


def symmetry(cutoffs, functions):
    return {"kind": SYMMETRY_FUNCTIONS, "cutoffs": PAIR_CUTOFFS[cutoffs], "functions": functions}


def bispectrum(cutoffs, weights, twojmax, style=3, rfac0=0.99363, rmin0=0.0, switch=1, bzero=0):
    return {
        "kind": BISPECTRUM,
        "cutoffs": PAIR_CUTOFFS[cutoffs],
        "weights": weights,
        "twojmax": twojmax,
        "rfac0": rfac0,
        "diagonalstyle": style,
        "rmin0": rmin0,
        "switch_flag": switch,
        "bzero_flag": bzero,
    }


def soap(n_elements, n_max, l_max, cutoff, eta):
    return {
        "kind": SOAP,
        "cutoffs": [[cutoff] * n_elements] * n_elements,
        "n_max": n_max,
        "l_max": l_max,
        "cutoff": cutoff,
        "eta": eta,
    }


FIVE_WEIGHTS = [1.0, 0.8, 1.3, -0.5, 0.65]
DESCRIPTORS = {
    "set51": symmetry("one5", SET51),
    "set51_short": symmetry("one3", SET51),
    "set51_two": symmetry("two", SET51),
    "every_kind": symmetry("one4", EVERY_KIND),
    "every_kind_short": symmetry("one3", EVERY_KIND),
    "every_kind_two": symmetry("two", EVERY_KIND),
    "every_kind_five": symmetry("five", EVERY_KIND),
    "bispectrum4": bispectrum("one4", [1.0], 4),
    "bispectrum4_short": bispectrum("one3", [1.0], 4),
    "bispectrum4_short_unswitched": bispectrum("one3", [1.0], 4, switch=0),
    "bispectrum4_unswitched": bispectrum("one4", [1.0], 4, switch=0),
    "bispectrum4_every_triple": bispectrum("one4", [0.9], 4, style=0),
    "bispectrum4_equal_pairs": bispectrum("one4", [1.0], 4, style=1),
    "bispectrum4_equal_triples": bispectrum("one4", [1.0], 4, style=2),
    "bispectrum5_shifted": bispectrum("one4", [1.0], 5, bzero=1),
    "bispectrum6": bispectrum("one4", [1.2], 6, rfac0=0.9, rmin0=0.7),
    "bispectrum8": bispectrum("one5", [1.0], 8),
    "bispectrum8_two": bispectrum("two", [1.0, 0.45], 8, rmin0=0.25),
    "bispectrum6_five": bispectrum("five", FIVE_WEIGHTS, 6),
    "bispectrum3_five_shifted": bispectrum("five", FIVE_WEIGHTS, 3, style=0, bzero=1),
    "soap": soap(1, 4, 4, 4.0, 0.5),
    "soap_short": soap(1, 3, 4, 3.0, 0.8),
    "soap_fine": soap(1, 8, 8, 4.0, 1.0),
    "soap_two": soap(2, 4, 5, 3.6, 0.7),
    "soap_five": soap(5, 2, 3, 3.7, 0.5),
}
CASES = [
    (descriptor, structure)
    for structure, descriptors in {
        "silicon": "set51 every_kind bispectrum4 bispectrum4_unswitched bispectrum4_every_triple "
        "bispectrum4_equal_pairs bispectrum4_equal_triples bispectrum5_shifted bispectrum6 "
        "bispectrum8 soap soap_fine",
        "silicon_carbide": "set51_two every_kind_two bispectrum8_two soap_two",
        "alloy": "every_kind_five bispectrum6_five bispectrum3_five_shifted soap_five",
        "dense": "set51 every_kind bispectrum8 soap",
        "sparse": "set51 every_kind bispectrum4 bispectrum8 bispectrum4_unswitched "
        "bispectrum5_shifted soap",
        "alone": "set51 every_kind bispectrum4 bispectrum5_shifted soap",
        "at_the_cutoff": "set51_short every_kind_short bispectrum4_short "
        "bispectrum4_short_unswitched soap_short",
        "collinear": "set51 every_kind every_kind_short bispectrum4 bispectrum8 soap",
        "cluster": "every_kind_two bispectrum8_two soap_two",
    }.items()
    for descriptor in descriptors.split()
]


def build(library, settings):
    """libdescriptor's object for the settings."""
    if settings["kind"] == SYMMETRY_FUNCTIONS:
        elements = ELEMENTS[len(settings["cutoffs"])]
        return library.symmetry_functions(elements, settings["cutoffs"], settings["functions"])
    if settings["kind"] == BISPECTRUM:
        return library.bispectrum(
            settings["cutoffs"],
            settings["weights"],
            settings["twojmax"],
            settings["rfac0"],
            settings["diagonalstyle"],
            settings["rmin0"],
            settings["switch_flag"],
            settings["bzero_flag"],
        )
    return library.soap(
        ELEMENTS[len(settings["cutoffs"])],
        settings["n_max"],
        settings["l_max"],
        settings["cutoff"],
        settings["eta"],
    )


def neighbourhoods(species, positions, cell, cutoffs):
    """For each atom: the atoms and images within the pair's cutoff, and where they are."""
    cutoffs = np.array(cutoffs)
    reach = cutoffs.max()
    images = np.zeros((1, 3))
    if cell is not None:
        heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
        counts = [range(-k, k + 1) for k in np.ceil(reach / heights).astype(int) + 1]
        images = np.array(list(itertools.product(*counts)), dtype=float) @ cell
    for i, centre in enumerate(positions):
        neighbours, places = [], []
        for j, position in enumerate(positions):
            for image in images:
                distance = np.linalg.norm(position + image - centre)
                here = i == j and not image.any()
                if not here and distance <= cutoffs[species[i], species[j]]:
                    neighbours.append(j)
                    places.append(position + image)
        yield np.array([i, *neighbours]), np.array([centre, *places])


def compute(library, settings, structure, seed, jacobian):
    """The data of one case in references.npz."""
    _, species, positions, cell = structure
    species = np.array(species)
    kind = build(library, settings)
    width = kind.contents.width
    n = len(species)
    weights = np.random.default_rng(seed).normal(size=(n, width))
    values = np.zeros((n, width))
    products = np.zeros((n, 3))
    strain_products = np.zeros((3, 3))
    found = {}
    for atoms, places in neighbourhoods(species, positions, cell, settings["cutoffs"]):
        i = atoms[0]
        values[i] = library.value(kind, species[atoms], places)
        derivative = library.product(kind, species[atoms], places, weights[i])
        np.add.at(products, atoms, derivative)
        strain_products += derivative.T @ (places - places[0])
        if i == 0 and jacobian:
            found["jacobian"] = np.zeros((width, n, 3))
            for k in range(width):
                derivative = library.product(kind, species[atoms], places, np.eye(width)[k])
                np.add.at(found["jacobian"][k], atoms, derivative)
    found.update(values=values, weights=weights, products=products)
    found["strain_products"] = strain_products
    return found


def pair_lines(elements, cutoffs, all_pairs):
    for i, first in enumerate(elements):
        for j, second in enumerate(elements):
            if all_pairs or j >= i:
                yield f"{first}  {second}  {cutoffs[i][j]}"


def rule():
    return "#" + "=" * 80


def kliff_file(elements, settings):
    """The layout of the .dat file that KLIFF 1.0.1 writes."""
    lines = [rule(), "# Descriptor parameters file generated by KLIFF.", rule(), ""]
    lines += ["cos  # cutoff type", "", f"{len(elements)}  # number of species", ""]
    lines += ["# species 1    species 2    cutoff"]
    lines += [*pair_lines(elements, settings["cutoffs"], all_pairs=True), ""]
    if settings["kind"] == SYMMETRY_FUNCTIONS:
        functions = settings["functions"]
        names = {"g2": "eta  Rs", "g3": "kappa", "g4": "zeta  lambda  eta"}
        names["g5"] = names["g4"]
        lines += [rule(), "# symmetry functions", rule(), ""]
        lines += [f"{len(functions)}  # number of symmetry functions types", ""]
        lines += ["# sym_function    rows    cols"]
        for name, rows in functions:
            if name == "g1":
                lines += ["g1", ""]
                continue
            lines += [f"{name}    {len(rows)}    {len(rows[0])}"]
            lines += ["    ".join(map(str, row)) + f"    # {names[name]}" for row in rows] + [""]
        width = sum(len(rows) for _, rows in functions)
        lines += [rule(), "# Preprocessing data to center and normalize", rule()]
        lines += ["center_and_normalize  True", "", f"{width}   # descriptor size"]
        lines += ["# mean", "0.0 ", "", "# standard deviation", "1.0 ", ""]
    elif settings["kind"] == BISPECTRUM:
        jmax = settings["twojmax"] / 2
        lines += ["# jmax", f"{int(jmax) if jmax.is_integer() else jmax}", ""]
        for name in ("rfac0", "diagonalstyle", "rmin0", "switch_flag", "bzero_flag"):
            lines += [f"# {name}", f"{settings[name]}", ""]
        lines += ["# weights", "".join(f"{weight}    " for weight in settings["weights"]), "", ""]
    else:
        for name in ("n_max", "l_max", "cutoff"):
            lines += [f"# {name}", f"{settings[name]}", ""]
        lines += ["# radial_basis", "polynomial", "", "# eta", f"{settings['eta']}", ""]
    return "\n".join(lines) + "\n"


def libdescriptor_file(elements, settings):
    """The layout that libdescriptor 0.2.3 reads, for one species.

    It misreads some files: with several kinds of symmetry functions, it gives all of them the
    parameters of the first, and it rejects every SOAP file.
    """
    pairs = list(pair_lines(elements, settings["cutoffs"], all_pairs=False))
    lines = ["# cutoff type", "cos", "", "# number of species", f"{len(elements)}", "", *pairs, ""]
    if settings["kind"] == SYMMETRY_FUNCTIONS:
        functions = settings["functions"]
        lines += ["# number of kinds of symmetry functions", f"{len(functions)}", ""]
        for name, rows in functions:
            rows = [row or [0.0] for row in rows]
            lines += [f"{name} {len(rows)} {len(rows[0])}"]
            lines += [" ".join(map(str, row)) for row in rows] + [""]
        width = sum(len(rows) for _, rows in functions)
        lines += ["# normalize", "False", "", "# width", f"{width}"]
    elif settings["kind"] == BISPECTRUM:
        lines += ["# jmax", f"{settings['twojmax'] // 2}", ""]
        for name in ("rfac0", "diagonalstyle", "rmin0", "switch_flag", "bzero_flag"):
            lines += [f"# {name}", f"{settings[name]}", ""]
        lines += ["# weights", " ".join(map(str, settings["weights"]))]
    else:
        lines = []
        for name in ("n_max", "l_max", "cutoff", "eta"):
            lines += [f"# {name}", f"{settings[name]}"]
        lines += ["# radial_basis", "polynomial", "# species", f"{len(elements)}"]
        lines += [" ".join(elements)]
    return "\n".join(lines) + "\n"


def check_reader(library, name, settings):
    """libdescriptor reads its own layout as the settings, where it can at all."""
    if settings["kind"] == SYMMETRY_FUNCTIONS and len(settings["functions"]) > 1:
        return
    if settings["kind"] == SOAP:
        return
    read = library.from_file(FOLDER / f"{name}.libdescriptor.dat", settings["kind"])
    made = build(library, settings)
    _, species, positions, _ = sparse()
    there = library.value(read, species[:3], positions[:3])
    assert np.array_equal(there, library.value(made, species[:3], positions[:3])), name


def check_python_module(library):
    """libdescriptor's own Python interface computes what the library does."""
    import libdescriptor

    _, species, positions, _ = sparse()
    species, positions = np.array(species[:3], dtype=np.int32), positions[:3]
    kinds = libdescriptor.AvailableDescriptors
    init = libdescriptor.DescriptorKind.init_descriptor
    for name in ("set51", "every_kind", "bispectrum6", "soap_fine"):
        settings = DESCRIPTORS[name]
        if settings["kind"] == SYMMETRY_FUNCTIONS:
            rows = [[row or [0.0] for row in rows] for _, rows in settings["functions"]]
            made = init(
                kinds.SymmetryFunctions,
                ["Si"],
                "cos",
                settings["cutoffs"][0][0],
                [kind for kind, _ in settings["functions"]],
                [size for block in rows for size in (len(block), len(block[0]))],
                [value for block in rows for row in block for value in row],
            )
        elif settings["kind"] == BISPECTRUM:
            made = init(
                kinds.Bispectrum,
                settings["rfac0"],
                settings["twojmax"],
                settings["diagonalstyle"],
                0,
                settings["rmin0"],
                settings["switch_flag"],
                settings["bzero_flag"],
                settings["cutoffs"][0][0],
                ["Si"],
                settings["weights"],
            )
        else:
            made = init(
                kinds.SOAP,
                settings["n_max"],
                settings["l_max"],
                settings["cutoff"],
                ["Si"],
                "polynomial",
                settings["eta"],
            )
        neighbours = np.array([1, 2], dtype=np.int32)
        there = libdescriptor.compute_single_atom(made, 0, species, neighbours, positions)
        here = library.value(build(library, settings), species, positions)
        assert np.array_equal(there, here), name


def main():
    packages = Path(util.find_spec("libdescriptor").submodule_search_locations[0]).parent
    library = Library(installed_library(packages))
    if sys.version_info[:2] <= (3, 10):
        check_python_module(library)
    for name, settings in DESCRIPTORS.items():
        elements = ELEMENTS[len(settings["cutoffs"])]
        (FOLDER / f"{name}.kliff.dat").write_text(kliff_file(elements, settings))
        if len(elements) == 1 and (settings["kind"] != BISPECTRUM or settings["twojmax"] % 2 == 0):
            path = FOLDER / f"{name}.libdescriptor.dat"
            path.write_text(libdescriptor_file(elements, settings))
            if settings.get("weights", [1.0]) == [1.0] and settings.get("rmin0", 0.0) == 0.0:
                check_reader(library, name, settings)
    arrays = {}
    for name, make in STRUCTURES.items():
        elements, species, positions, cell = make()
        arrays[f"structure/{name}/elements"] = np.array(elements)
        arrays[f"structure/{name}/species"] = np.array(species)
        arrays[f"structure/{name}/positions"] = positions
        arrays[f"structure/{name}/cell"] = np.zeros((3, 3)) if cell is None else cell
        arrays[f"structure/{name}/pbc"] = np.full(3, cell is not None)
    for seed, (descriptor, structure) in enumerate(CASES):
        settings = DESCRIPTORS[descriptor]
        found = compute(library, settings, STRUCTURES[structure](), seed, structure in JACOBIANS)
        for key, array in found.items():
            arrays[f"case/{descriptor}@{structure}/{key}"] = array
    np.savez_compressed(FOLDER / "references.npz", **arrays)


if __name__ == "__main__":
    main()
