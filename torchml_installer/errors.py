"""Every failure a user can meet: one class each, with its own exit code.

An error says what is wrong (``message``) and what to do about it (``remedy``). ``cli.main`` prints
both and ends with ``exit_code``. Exit codes are part of the interface: scripts and CI jobs test
them, so a code is never reused for another failure. ``torchml-install exit-codes`` lists the codes
with the first sentence of each docstring; ``--help`` summarises ranges by ``kind``.

>>> error = NoTorchError("No libtorch found.")
>>> error.exit_code
3
>>> error.remedy.partition(" (")[0]
'Install it with `python -m pip install torch`'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

#: What to do about a bug in this program, after "please" and the like.
REPORT = (
    "report it to whoever you got this program from, with the output of "
    "`torchml-install doctor --markdown`."
)

#: The page that says what a model takes and returns, for remedies.
YOUR_MODEL = 'the page "Your own model" (docs/models/index.md)'


class TorchMLError(Exception):
    """Base class.

    ``message``: what is wrong, a full sentence that names the file, tool or value.
    ``remedy``: what to do next; by default the class's ``default_remedy``.
    ``kind``: what such failures have in common, for the summary of exit codes.
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = ""
    default_remedy: ClassVar[str] = ""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = self.default_remedy if remedy is None else remedy


# --- prerequisites of the build -------------------------------------------------------------


class PrerequisiteError(TorchMLError):
    """The build or a run lacks something, or cannot use it."""

    kind = "a prerequisite is missing or unusable"


class NoTorchError(PrerequisiteError):
    """No libtorch was found, or the given folder contains none."""

    exit_code = 3
    default_remedy = (
        "Install it with `python -m pip install torch` (or unpack a libtorch archive) and run "
        "again. If you have one elsewhere, name it with --torch-root DIR or TORCH_ROOT."
    )


class OldAbiTorchError(PrerequisiteError):
    """The libtorch uses the old C++ ABI, whose std::string differs from the KIM-API's."""

    exit_code = 4
    default_remedy = (
        'Install a torch with the C++11 ABI: `python -m pip install "torch>=2.7"` (or one from '
        "conda-forge), or name one with --torch-root DIR."
    )


class IncompleteTorchError(PrerequisiteError):
    """The libtorch lacks the headers or the libraries to build against."""

    exit_code = 5
    default_remedy = (
        "Reinstall torch with `python -m pip install --force-reinstall torch`, or name a complete "
        "one with --torch-root DIR."
    )


class NoKimApiError(PrerequisiteError):
    """No KIM-API was found, or it lacks the files to build drivers and models."""

    exit_code = 6
    default_remedy = (
        "Install it with `sudo apt install libkim-api-dev` or `conda install -c conda-forge "
        "kim-api`. If you have one elsewhere, name it with --kim-root DIR."
    )


class NoCompilerError(PrerequisiteError):
    """No working C++ compiler was found."""

    exit_code = 7
    default_remedy = (
        "Install one with `sudo apt install g++` or `conda install -c conda-forge cxx-compiler`, "
        "or name one with --cxx PATH."
    )


class CompilerTooOldError(PrerequisiteError):
    """The C++ compiler does not support the C++ standard of torch's headers."""

    exit_code = 8
    default_remedy = (
        "Install a newer one (`conda install -c conda-forge cxx-compiler`, or a newer g++ package "
        "of your system), and name it with --cxx PATH."
    )


class NoCMakeError(PrerequisiteError):
    """No working CMake was found."""

    exit_code = 9
    default_remedy = "Install it with `python -m pip install cmake` or `sudo apt install cmake`."


class CMakeTooOldError(PrerequisiteError):
    """CMake is too old to build the driver."""

    exit_code = 10
    default_remedy = "Install a newer one with `python -m pip install cmake`."


class MissingToolError(PrerequisiteError):
    """Neither ninja nor make is installed."""

    exit_code = 11


class SourcesMissingError(PrerequisiteError):
    """This installation lacks the driver's sources, the templates or the examples."""

    exit_code = 12
    default_remedy = (
        "Reinstall torchml-install from its sources: run `python -m pip install "
        "--force-reinstall .` in their folder."
    )


class TorchTooOldError(PrerequisiteError):
    """The libtorch is too old to build the driver."""

    exit_code = 13
    default_remedy = (
        "Install a newer one with `python -m pip install --upgrade torch`, or name one with "
        "--torch-root DIR."
    )


class ExtensionMissingError(PrerequisiteError):
    """The folder given for torch_scatter or torch_sparse has no library for this torch."""

    exit_code = 14


class NoDeviceError(PrerequisiteError):
    """This machine does not have the requested GPU, or torch was built without support for it."""

    exit_code = 15


class LibdescriptorUnusableError(PrerequisiteError):
    """The libdescriptor is missing, cannot be loaded, or gives wrong results."""

    exit_code = 16


class KnownProblemError(PrerequisiteError):
    """A known problem would make the build fail; the message explains it."""

    exit_code = 17


# --- building and installing ----------------------------------------------------------------


class InstallationError(TorchMLError):
    """A build, an installation or a removal failed."""

    kind = "building, installing or removing failed"


class BuildFailedError(InstallationError):
    """Configuring, compiling or linking failed; the message shows the first error of the log."""

    exit_code = 20
    default_remedy = "Read the log named above, and check the tools with `torchml-install doctor`."


class ConfigureLoopError(InstallationError):
    """CMake kept reconfiguring the project and was stopped."""

    exit_code = 18


class WrongEnergyError(InstallationError):
    """The newly built driver computes a wrong energy; nothing was installed."""

    exit_code = 19
    default_remedy = (
        "A driver installed before is still in place. Try another torch (--torch-root DIR) or "
        f"another compiler (--cxx PATH). If the energy is still wrong, {REPORT}"
    )


class CollectionNotWritableError(InstallationError):
    """The KIM collection's folder is not writable."""

    exit_code = 21
    default_remedy = "Install into your own collection with --collection user."


class CollectionUnsetError(InstallationError):
    """The KIM collection has no folder: its environment variable is not set."""

    exit_code = 22


class LibraryNotLoadableError(InstallationError):
    """The newly built driver cannot be loaded; nothing was installed."""

    exit_code = 23
    default_remedy = (
        "A library named above is missing or has another version. Reinstall torch, or name "
        "another one with --torch-root DIR."
    )


class PythonModuleError(InstallationError):
    """The Python module cannot be built for the active Python or installed into it."""

    exit_code = 24


class DiskFullError(InstallationError):
    """The disk is full."""

    exit_code = 25
    default_remedy = "Free some space, and run the command again."


class NotPermittedError(InstallationError):
    """You are not permitted to read or write a file or folder."""

    exit_code = 26
    default_remedy = "Check the owner and permissions of that path, or name another one."


class DownloadFailedError(InstallationError):
    """A download failed, or its checksum is wrong."""

    exit_code = 27
    default_remedy = (
        "Check the network connection and pip's settings (`python -m pip config list`)."
    )


class NoProviderError(InstallationError):
    """No package manager on this machine can install what is missing."""

    exit_code = 28


class PackageInstallError(InstallationError):
    """A package manager failed; the message shows the end of its output."""

    exit_code = 29
    default_remedy = (
        "Check the network connection and the package manager's settings; the log has its whole "
        "output. Run the same command again to continue."
    )


class PrebuiltUnfitError(InstallationError):
    """No prebuilt driver fits this machine, or a file of it is damaged."""

    exit_code = 52
    default_remedy = (
        "Name a folder with wheels of torchml-driver with --find-links FOLDER, or compile the "
        "driver: leave out --prebuilt."
    )


class NotInstalledError(InstallationError):
    """The item to remove was not installed by torchml-install."""

    exit_code = 39


# --- models ---------------------------------------------------------------------------------


class ModelError(TorchMLError):
    """A model or an option is unacceptable."""

    kind = "a model or an option was refused"


class ModelFileMissingError(ModelError):
    """The model file does not exist, or is a folder."""

    exit_code = 30
    default_remedy = "Check the path. A model is one file, such as SW_Si.pt (TorchScript)."


class ModelFileDamagedError(ModelError):
    """The model file is empty, truncated or otherwise damaged."""

    exit_code = 31
    default_remedy = "Copy or save the file again."


class NotTorchScriptError(ModelError):
    """The model file is not TorchScript."""

    exit_code = 32
    default_remedy = (
        "Load the model in Python and save it as TorchScript with "
        "`torch.jit.script(model).save(FILE)`, or for a model built on e3nn (MACE, NequIP, "
        "SevenNet) with `e3nn.util.jit.script(model).save(FILE)`."
    )


class WrongForwardError(ModelError):
    """The model's forward does not match its calling convention (--pattern)."""

    exit_code = 33


class BadNameError(ModelError):
    """KIM does not accept the name: it must be a C identifier."""

    exit_code = 34


class BadOptionError(ModelError):
    """An option has an invalid value, such as an unknown element or a negative cutoff."""

    exit_code = 35


class OutputExistsError(ModelError):
    """The output already exists."""

    exit_code = 36
    default_remedy = "Add --force to replace it, or choose another name."


class NotAModelFolderError(ModelError):
    """The folder is not a portable model that KIM can install."""

    exit_code = 37
    default_remedy = "Make a portable model with `torchml-install model pack`."


class BadParameterFileError(ModelError):
    """A parameter or descriptor file is invalid; the message names the line."""

    exit_code = 38


class UnphysicalModelError(ModelError):
    """The model breaks a physical law that every potential must obey."""

    exit_code = 43
    default_remedy = "Look for the causes named above in the model. Ignore those that are intended."


class UnsoundModelError(ModelError):
    """The model fails or would give wrong simulations; nothing was packed."""

    exit_code = 46
    default_remedy = (
        f"Correct the model: {YOUR_MODEL} says what it must return, and lists common mistakes. To "
        "pack it anyway, add --unchecked; then run all checks with `torchml-install model verify`."
    )


class LibraryMissingError(ModelError):
    """The library that made the model is not installed, or cannot be imported."""

    exit_code = 47


class LibraryVersionError(ModelError):
    """The installed version of the library that made the model is not supported."""

    exit_code = 48


class OtherLibraryError(ModelError):
    """Another library made the model file."""

    exit_code = 49


class UnsupportedModelError(ModelError):
    """The library's model has a feature that the driver does not support."""

    exit_code = 50


class LibraryDiffersError(ModelError):
    """The model's results differ from those of the library that made it; nothing was packed."""

    exit_code = 51
    default_remedy = (
        "Try a version of the library that the adapter was tried with (the message names them). If "
        f"the results still differ, {REPORT}"
    )


# --- running models -----------------------------------------------------------------------


class RunError(TorchMLError):
    """Running a model failed or gave wrong results."""

    kind = "running a model failed or gave wrong results"


class MissingForQuickstartError(RunError):
    """The quickstart needs a program or package that is not installed (LAMMPS, ASE, kimpy, ...)."""

    exit_code = 40


class RunFailedError(RunError):
    """A program that this command started, such as LAMMPS or Python, failed."""

    exit_code = 41


class ResultsDifferError(RunError):
    """The quickstart's model and KIM's reference potential disagree."""

    exit_code = 42
    default_remedy = (
        f"Rebuild the driver with `torchml-install driver`. If the results still differ, {REPORT}"
    )


# --- compiling models ----------------------------------------------------------------------


class NotCompilableError(ModelError):
    """Torch cannot compile this model for systems of every size."""

    exit_code = 44
    default_remedy = (
        "Save the model as TorchScript instead, and pack that with `torchml-install model pack`."
    )


class CompiledModelDiffersError(ModelError):
    """The compiled model's results differ from the original's."""

    exit_code = 45
    default_remedy = (
        "Nothing was written. Save the model as TorchScript instead, or try another torch."
    )


# --- the command itself ---------------------------------------------------------------------


class UnexpectedError(TorchMLError):
    """Internal error; the traceback is in a file."""

    exit_code = 70
    kind = "internal error"


class OutputNotWrittenError(TorchMLError):
    """The output could not be written, for example to a full disk."""

    exit_code = 71
    kind = "the output could not be written"


class InterruptedByUserError(TorchMLError):
    """Interrupted by Ctrl-C or a signal; earlier installations are intact."""

    exit_code = 130
    kind = "interrupted"
    default_remedy = "Nothing is half installed. Run the same command again to continue."


# --- the list of exit codes -----------------------------------------------------------------

#: After ``| head`` has ended: how a shell reports a program that SIGPIPE ended.
BROKEN_PIPE = 141
#: Exit codes that are no failures of this program, and their meaning.
OTHER_CODES = {
    0: "success",
    2: "wrong usage",
    BROKEN_PIPE: "the reader of the output ended early",
}


def failures() -> list[type[TorchMLError]]:
    """Every class with its own exit code, sorted by code."""
    return sorted(_leaves(TorchMLError), key=lambda cls: cls.exit_code)


def _leaves(cls: type[TorchMLError]) -> Iterator[type[TorchMLError]]:
    subclasses = cls.__subclasses__()
    if not subclasses:
        yield cls
    for subclass in subclasses:
        yield from _leaves(subclass)


def exit_codes() -> dict[int, str]:
    """The meaning of each exit code: the first sentence of the class's docstring."""
    codes = {code: f"{text[0].upper()}{text[1:]}." for code, text in OTHER_CODES.items()}
    for cls in failures():
        sentence, _, _ = " ".join((cls.__doc__ or "").split()).partition(". ")
        codes[cls.exit_code] = sentence.rstrip(".") + "."
    return dict(sorted(codes.items()))


def exit_code_ranges() -> str:
    """All exit codes in one sentence: "0 success; 2 wrong usage; 3-17 a prerequisite ..."."""
    kinds: dict[str, list[int]] = {}
    named = {cls.exit_code: cls.kind for cls in failures()} | OTHER_CODES
    for code in sorted(named):
        kinds.setdefault(named[code], []).append(code)
    return "; ".join(f"{_ranges(codes)} {kind}" for kind, codes in kinds.items())


def _ranges(codes: Iterable[int]) -> str:
    """
    >>> _ranges([3, 4, 5, 9])
    '3-5, 9'
    """
    runs: list[list[int]] = []
    for code in codes:
        if runs and code == runs[-1][-1] + 1:
            runs[-1].append(code)
        else:
            runs.append([code])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
