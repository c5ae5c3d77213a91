"""MatGL: its M3GNet and TensorNet, from the folders that `Potential.save` writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .base import Adapted, Adapter, NoSourceError, UnsupportedError, one_dtype, with_buffers
from .default_dtype import default_dtype
from .reach import Cluster

if TYPE_CHECKING:
    from .saved_file import SavedFile

_SETTINGS = "model.json"


class MatGL(torch.nn.Module):  # type: ignore[misc]
    """A MatGL potential, called on edges; species are 0, 1, … in the order of its elements.

    exported: what MatGL makes for LAMMPS, whose part ``kernel`` takes bond vectors as differences
    of positions plus shifts.
    """

    def __init__(self, exported: Any) -> None:
        super().__init__()
        self.kernel = exported.kernel
        self.register_buffer("scale", exported.data_std.clone())
        self.register_buffer("references", exported.element_refs.clone())

    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        n = species.size(0)
        places = edge_vectors.new_zeros((n, 3))
        energies = self.kernel(species, edge_index, edge_vectors, places, n) * self.scale
        return (energies + self.references.index_select(0, species)) * contributing


class MatGLAdapter(Adapter):
    name = "matgl"
    title = "MatGL"
    distribution = "matgl"
    module = "matgl"
    oldest = "4.1.0"
    tried_with = ("4.1.2",)

    def recognises(self, file: SavedFile) -> bool:
        return file.path.name == _SETTINGS or file.needs("matgl")

    def load(self, source: str, options: Mapping[str, str]) -> Adapted:
        from matgl.apps.pes import Potential

        folder = self._folder(source)
        read = self._reader(folder, Potential)
        potential = read()
        model = potential.model
        dtype = potential.data_mean.dtype
        with default_dtype(dtype):
            module = _on_edges(potential, dtype)
            elements = tuple(str(symbol) for symbol in model.element_types)
            cutoff = float(model.cutoff)
            blocks = len(getattr(model, "graph_layers", None) or model.layers)
            layers = Cluster(elements, cutoff, blocks, dtype, atomic_numbers=False).layers(
                module, "edges"
            )
        return Adapted(
            module=module,
            elements=elements,
            cutoff=cutoff,
            n_layers=layers,
            dtype=dtype,
            calculator=lambda: _calculator(read(), dtype),
            periodic_only=True,  # its results for slabs change with the place of the atoms
            notes=("Other properties than the energy are left out.",),
            facts={"class": type(model).__name__},
        )

    def _folder(self, source: str) -> Path:
        """MatGL saves a potential as a folder of three files."""
        path = Path(source)
        folder = path.parent if path.name == _SETTINGS and path.is_file() else path
        if not folder.exists():
            raise self.no_source(source)
        if not (folder / _SETTINGS).is_file():
            if path.is_file():
                self.file(source)  # which names the library that wrote it
            raise NoSourceError(
                f"{source} is not a folder of MatGL: it has no {_SETTINGS}.",
                "Name the folder that `potential.save(...)` wrote.",
            )
        return folder

    def _reader(self, folder: Path, kind: Any) -> Any:
        import matgl

        def read() -> Any:
            potential = matgl.load_model(folder)
            if not isinstance(potential, kind):
                raise UnsupportedError(
                    f"{folder} holds a {type(potential).__name__}, which is not a potential.",
                    "Name the folder of a matgl.apps.pes.Potential.",
                )
            return potential.eval()

        return read


def _on_edges(potential: Any, dtype: torch.dtype) -> torch.nn.Module:
    from matgl.ext.lammps import LAMMPSMatGLModel

    if float(potential.data_mean) != 0.0:
        raise UnsupportedError(
            "The potential adds a constant to the energy of each system (data_mean), so that it "
            "would depend on how a system is divided.",
            "Put it into the elements' reference energies.",
        )
    try:
        exported = LAMMPSMatGLModel(potential, dtype=dtype)
    except (NotImplementedError, ValueError) as error:
        raise UnsupportedError(f"MatGL itself does not export this model: {error}") from error
    module = with_buffers(MatGL(exported).eval())
    one_dtype(module)
    return module


def _calculator(potential: Any, dtype: torch.dtype) -> Any:
    from matgl.ext.ase import PESCalculator

    class Calculator(PESCalculator):  # type: ignore[misc]
        def calculate(self, *all: Any, **named: Any) -> None:
            with default_dtype(dtype):
                super().calculate(*all, **named)

    return Calculator(potential, stress_unit="eV/A3", use_voigt=True)
