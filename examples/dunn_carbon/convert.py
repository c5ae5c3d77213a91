"""Write OpenKIM's published DUNN potential for carbon as a model of this driver."""

import argparse
import base64
import ctypes
import itertools
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import kimpy
import torch

PUBLISHED = "DUNN_WenTadmor_2019v3_C__MO_714772088128_000"
WIDTH = 51  # symmetry functions of an atom


class DropoutLayer(torch.nn.Module):
    """A linear layer in several copies, in each of which other inputs are dropped.

    weights: (inputs, outputs). biases: (outputs). kept: (copies, inputs), or (1, inputs) where
    all copies are alike; 1 / probability of being kept where an input is kept, 0 where not.
    """

    def __init__(self, weights: torch.Tensor, biases: torch.Tensor, kept: torch.Tensor) -> None:
        super().__init__()
        # Buffers, so that the driver finds their type and takes them to the device it computes on.
        self.register_buffer("weights", weights)
        self.register_buffer("biases", biases)
        self.register_buffer("kept", kept.unsqueeze(1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(copies or 1, n, inputs) to (copies or 1, n, outputs)."""
        return (inputs * self.kept) @ self.weights + self.biases


class EnsembleNetwork(torch.nn.Module):
    """The mean energy of copies of a network in which neurons have been dropped.

    Y. Gal and Z. Ghahramani, Proc. 33rd Int. Conf. Machine Learning, PMLR 48, 1050 (2016); for
    potentials: M. Wen and E. B. Tadmor, npj Comput. Mater. 6, 124 (2020).
    """

    def __init__(self, layers: list[DropoutLayer]) -> None:
        super().__init__()
        self.hidden = torch.nn.ModuleList(layers[:-1])
        self.last = layers[-1]

    def forward(self, descriptor: torch.Tensor) -> torch.Tensor:
        """Energies of atoms, (n), eV, of their normalised symmetry functions (n, width)."""
        values = descriptor.unsqueeze(0)
        for layer in self.hidden:
            values = torch.tanh(layer(values))
        return self.last(values).mean(dim=0).squeeze(1)


def embedded_file(library: ctypes.CDLL, name: str) -> str:
    """A parameter file, which KIM's build has put into the model's library as data: as it is, or
    from KIM-API 2.4 on in base64, which has no ends of lines."""
    size = ctypes.c_uint.in_dll(library, f"{name}_len").value
    data = bytes((ctypes.c_ubyte * size).in_dll(library, name))
    return (data if b"\n" in data else base64.b64decode(data)).decode()


def words_of(text: str) -> Iterator[str]:
    """The words of a parameter file, without comments."""
    for line in text.splitlines():
        yield from line.split("#")[0].split()


def take(words: Iterator[str], *shape: int) -> torch.Tensor:
    """The next numbers, with the last index fastest."""
    count = math.prod(shape)
    numbers = [float(word) for word in itertools.islice(words, count)]
    return torch.tensor(numbers, dtype=torch.float64).reshape(shape)


def read_network(network: str, dropout: str) -> EnsembleNetwork:
    """The network of the files NN_params and dropout_binary_params."""
    words = words_of(network)
    sizes = [WIDTH, *(int(next(words)) for _ in range(int(next(words))))]
    activation = next(words)
    if activation != "tanh":
        raise SystemExit(f"{PUBLISHED} has the activation {activation}, not tanh.")
    probabilities = [float(next(words)) for _ in sizes[1:]]
    linear = [
        (take(words, inputs, outputs), take(words, outputs))
        for inputs, outputs in itertools.pairwise(sizes)
    ]
    words = words_of(dropout)
    copies = [[take(words, inputs) for inputs in sizes[:-1]] for _ in range(int(next(words)))]
    layers = []
    for k, (weights, biases) in enumerate(linear):
        kept = torch.stack([masks[k] for masks in copies]) / probabilities[k]
        if bool((kept == kept[0]).all()):
            kept = kept[:1]
        layers.append(DropoutLayer(weights, biases, kept))
    return EnsembleNetwork(layers)


def published_library() -> str:
    """The installed model's library, where KIM finds it."""
    collections = kimpy.collections.create()
    model = kimpy.collection_item_type.portableModel
    try:
        return collections.get_item_library_file_name_and_collection(model, PUBLISHED)[0]
    except RuntimeError:
        raise SystemExit(
            f"KIM does not find {PUBLISHED}. Debian has it in openkim-models; elsewhere: "
            f"kim-api-collections-management install user {PUBLISHED}"
        ) from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("TorchML_DUNN_C"), metavar="FOLDER")
    output: Path = parser.parse_args().output

    library = ctypes.CDLL(published_library())
    network = read_network(
        embedded_file(library, "NN_params"), embedded_file(library, "dropout_binary_params")
    )
    output.mkdir(parents=True, exist_ok=True)
    torch.jit.script(network).eval().save(str(output / "DUNN_C.pt"))
    # The file has KLIFF's layout: cutoff, symmetry functions, means and standard deviations.
    (output / "DUNN_C.dat").write_text(embedded_file(library, "descriptor_params"))
    for name in ("DUNN_C.param", "CMakeLists.txt"):
        shutil.copy(Path(__file__).with_name(name), output)
    print(f"Wrote {output}. Next: torchml-install model install {output}")


if __name__ == "__main__":
    main()
