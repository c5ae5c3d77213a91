"""Small TorchScript models of calling convention 1, each with one property to test."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch


class Springs(torch.nn.Module):
    """k/2 (r - r0)² for every listed pair, halved: simple enough for a known answer.

    Without weights; `energies` gives one energy for each contributing particle.
    """

    def __init__(self) -> None:
        super().__init__()
        self.k = 2.0
        self.r0 = 2.4

    def energies(
        self,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        rows = torch.arange(n_neigh.size(0))
        row = torch.repeat_interleave(rows, n_neigh.long())
        owner = contributing.nonzero().view(-1).index_select(0, row)
        delta = coords.index_select(0, nlist.long()) - coords.index_select(0, owner)
        stretch = (delta * delta).sum(1).sqrt() - self.r0
        pair = 0.25 * self.k * stretch * stretch
        return torch.zeros(n_neigh.size(0), dtype=coords.dtype).index_add(0, row, pair)

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        return self.energies(coords, n_neigh, nlist, contributing)


class SpringsByDirection(Springs):
    """Stiffer along x + y: turning the system changes its energy."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        turned = torch.stack([coords[:, 0] + 0.2 * coords[:, 1], coords[:, 1], coords[:, 2]], dim=1)
        return self.energies(turned, n_neigh, nlist, contributing)


class SpringsTotal(Springs):
    """Only the sum, a tensor without dimensions."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        return self.energies(coords, n_neigh, nlist, contributing).sum()


class SpringsOfAnotherName(Springs):
    """Its method does not call the module self."""

    def forward(
        this,  # noqa: N805
        species: torch.Tensor,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        return this.energies(coords, n_neigh, nlist, contributing)


class SpringsTotalInList(Springs):
    """Only the sum, as a tensor with one element."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        return self.energies(coords, n_neigh, nlist, contributing).sum().view(1)


class SpringsColumn(Springs):
    """[n_contributing, 1]"""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        return self.energies(coords, n_neigh, nlist, contributing).unsqueeze(1)


class SpringsAllParticles(Springs):
    """[n]: zeros for particles that do not contribute."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        rows = self.energies(coords, n_neigh, nlist, contributing)
        full = torch.zeros(coords.size(0), dtype=coords.dtype)
        return full.index_add(0, contributing.nonzero().view(-1), rows)


class SpringsAllParticlesColumn(Springs):
    """[n, 1]"""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        rows = self.energies(coords, n_neigh, nlist, contributing)
        full = torch.zeros(coords.size(0), dtype=coords.dtype)
        return full.index_add(0, contributing.nonzero().view(-1), rows).unsqueeze(1)


class SpringsInParts(Springs):
    """[n_contributing, 3] or [n, 2, 2]: parts that add up to each particle's energy."""

    def __init__(self, all_particles: bool) -> None:
        super().__init__()
        self.all_particles = all_particles

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        rows = self.energies(coords, n_neigh, nlist, contributing)
        if not self.all_particles:
            return torch.stack([0.5 * rows, 2.0 * rows, -1.5 * rows], dim=1)
        full = torch.zeros(coords.size(0), dtype=coords.dtype)
        full = full.index_add(0, contributing.nonzero().view(-1), rows)
        return torch.stack([0.5 * full, 2.0 * full, -1.0 * full, -0.5 * full], 1).view(-1, 2, 2)


class SpringsReshaped(Springs):
    """Energies of contributing particles in any shape; -1 means their number."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        return self.energies(coords, n_neigh, nlist, contributing).view(self.shape)


class SpringsWithForces(Springs):
    """(energies, forces), the forces from a formula and not through autograd."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        row = torch.repeat_interleave(torch.arange(n_neigh.size(0)), n_neigh.long())
        owner = contributing.nonzero().view(-1).index_select(0, row)
        neighbour = nlist.long()
        delta = coords.index_select(0, neighbour) - coords.index_select(0, owner)
        r = (delta * delta).sum(1, keepdim=True).sqrt()
        pull = 0.5 * self.k * (r - self.r0) * delta / r
        forces = torch.zeros_like(coords).index_add(0, owner, pull)
        forces = forces.index_add(0, neighbour, -pull)
        return self.energies(coords, n_neigh, nlist, contributing), forces


class SpringsInMuchMemory(Springs):
    """With tensors so large that the driver keeps their memory between steps."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        zeros = torch.zeros(1 << 15, dtype=coords.dtype) * coords[0, 0]
        return self.energies(coords, n_neigh, nlist, contributing) + zeros.sum()


class SpringsInMemoryForEach(Springs):
    """With ten tensors at a time, each with 8 KiB per particle."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        rows = [torch.zeros(coords.size(0), 1024, dtype=coords.dtype) for k in range(10)]
        total = self.energies(coords, n_neigh, nlist, contributing)
        for row in rows:
            total = total + row.sum()
        return total


class SpringsSingle(Springs):
    """Single precision, as its weights say."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1, dtype=torch.float32))

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        if coords.dtype != torch.float32:
            raise RuntimeError("coordinates are not in single precision")
        return self.scale * self.energies(coords, n_neigh, nlist, contributing)


class SpringsHalf(Springs):
    """Half precision (float16 or bfloat16), as its weights say."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1, dtype=dtype))

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        if coords.dtype != self.scale.dtype:
            raise RuntimeError("coordinates are not in half precision")
        energies = self.energies(coords.float(), n_neigh, nlist, contributing)
        return self.scale * energies.to(self.scale.dtype)


class FailsWithoutPairs(Springs):
    """Takes the largest index in the neighbour list. Besides the springs, each particle has a
    separate energy, -3 eV.

    form: "particles" ([n_contributing]), "all" ([n]) or "sum"; "nan": like the first, but returns
    nan instead of failing.
    """

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing) - 3.0
        if self.form == "nan":
            return energies + 0.0 * nlist.to(coords.dtype).mean()
        energies = energies + 0.0 * nlist.max()
        if self.form == "all":
            full = torch.zeros(coords.size(0), dtype=coords.dtype)
            return full.index_add(0, contributing.nonzero().view(-1), energies)
        if self.form == "sum":
            return energies.sum()
        return energies


class FailsWithoutPairsWithForces(Springs):
    """(energies, forces)"""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing) - 3.0 + 0.0 * nlist.max()
        gradient = torch.autograd.grad([energies.sum()], [coords])[0]
        assert gradient is not None
        return energies, -gradient


class WholeNumbers(Springs):
    """Energies as integers."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        return self.energies(coords, n_neigh, nlist, contributing).long()


class BackwardFails(Springs):
    """Its energy is right, but every backward pass through it raises."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        root = (coords * coords + 1.0).sqrt()  # its derivative needs the values that are
        # overwritten next
        root.add_(1.0)
        return self.energies(coords, n_neigh, nlist, contributing) + 0.0 * root.sum()


class NotFiniteAt(Springs):
    """Only the energy of one row, or the force on one particle, is infinite."""

    def __init__(self, energy: int, force: int) -> None:
        super().__init__()
        self.energy = energy
        self.force = force

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing)
        if self.force >= 0:  # the slope of a square root at zero is infinite
            still = coords[self.force] - coords[self.force].detach()
            energies = energies + still.abs().sum().sqrt()
        if self.energy >= 0:
            scale = torch.ones_like(energies)
            scale[self.energy] = 1e400
            energies = energies * scale
        return energies


class EnergyWithoutGradient(Springs):
    """Autograd cannot differentiate it."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        return self.energies(coords.detach(), n_neigh, nlist, contributing)


class SpeciesAsEnergy(Springs):
    """The sum of the contributing particles' species codes, which shows the codes it gets."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        codes = species.index_select(0, contributing.nonzero().view(-1))
        return codes.to(coords.dtype) + 0.0 * coords.sum()


class SpringsOfTwoSpecies(Springs):
    """Each code has a row in a table; other codes have none."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Embedding.from_pretrained(torch.ones(2, 1, dtype=torch.float64))

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        own = species.index_select(0, contributing.nonzero().view(-1))
        return self.scale(own)[:, 0] * self.energies(coords, n_neigh, nlist, contributing)


class NotFinite(Springs):
    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        return self.energies(coords, n_neigh, nlist, contributing) / 0.0 * 0.0


class WrongShape(Springs):
    """Energies for one particle too many, forces as (n, 2)."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        return torch.zeros(coords.size(0) + 1, dtype=coords.dtype) + 0.0 * coords.sum()


class WrongForcesShape(Springs):
    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        return coords.sum(), coords[:, :2]


class Complains(Springs):
    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        if coords.size(0) > 0:
            raise RuntimeError("this model never works")
        return coords.sum()


class OtherArguments(torch.nn.Module):
    """Takes two arguments, whereas the driver passes five."""

    def forward(self, positions: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
        return (positions @ box).sum()


class NumberArgument(torch.nn.Module):
    """Five arguments, one of them not a tensor."""

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        cutoff: float,
    ) -> torch.Tensor:
        return coords.sum() * cutoff


def torchscript(module: torch.nn.Module) -> bytes:
    """The file torch.jit.script(module).save() writes."""
    with warnings.catch_warnings():
        # Recent versions recommend other formats; this one is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        return bytes(torch.jit.script(module).save_to_buffer())


def parameter_text(
    model_file: str,
    *,
    cutoff: float | str = 3.0,
    elements: str = "1\nSi",
    preprocessing: str = "None",
    returns_forces: bool = False,
    descriptor: str = "None",
) -> str:
    return (
        f"# elements\n{elements}\n\n# preprocessing\n{preprocessing}\n\n# cutoff, angstrom\n"
        f"{cutoff}\n\n# model\n{model_file}\n\n# returns forces\n{returns_forces}\n\n"
        f"# number of inputs\n5\n\n# descriptor\n{descriptor}\n"
    )


def write_model(folder: Path, module: torch.nn.Module, **parameters: object) -> Path:
    """Makes a portable-model folder without KIM's build files; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pt").write_bytes(torchscript(module))
    text = parameter_text("model.pt", **parameters)  # type: ignore[arg-type]
    (folder / "model.param").write_text(text)
    return folder
