"""Every failure a user can meet: one class each, with its own exit code.

An error says what is wrong (``message``) and what to do about it (``remedy``). ``cli.main``
prints both and ends with ``exit_code``. Codes are part of the interface: scripts and CI jobs test
them, so a code is never given to another failure. Code 2 is click's (wrong usage).

>>> error = NoTorchError("No libtorch found.")
>>> error.exit_code
3
"""

from __future__ import annotations

from typing import ClassVar


class TorchMLError(Exception):
    """Base class.

    ``message``: what is wrong, a full sentence that names the file, tool or value.
    ``remedy``: the next thing to do; the class's ``default_remedy`` where none is given.
    """

    exit_code: ClassVar[int] = 1
    default_remedy: ClassVar[str] = ""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = self.default_remedy if remedy is None else remedy


# --- what is needed to build the driver -----------------------------------------------------


class NoTorchError(TorchMLError):
    """No libtorch was found, or the folder that was named holds none."""

    exit_code = 3
    default_remedy = (
        "Install it with `python -m pip install torch` (or unpack a libtorch archive) and run "
        "again; name another place with --torch-root DIR or TORCH_ROOT."
    )


class OldAbiTorchError(TorchMLError):
    """The libtorch uses the old C++ ABI, in which std::string differs from the KIM-API's."""

    exit_code = 4
    default_remedy = (
        'Install a torch with the C++11 ABI: `python -m pip install "torch>=2.7"` (or one from '
        "conda-forge), or name one with --torch-root DIR."
    )


class IncompleteTorchError(TorchMLError):
    """A libtorch was found, but without the headers or the libraries to build against."""

    exit_code = 5
    default_remedy = (
        "Reinstall torch (`python -m pip install --force-reinstall torch`), or name a complete "
        "one with --torch-root DIR."
    )


class NoKimApiError(TorchMLError):
    """No KIM-API was found, or one without the files needed to build items."""

    exit_code = 6
    default_remedy = (
        "Install it with `sudo apt install libkim-api-dev` or `conda install -c conda-forge "
        "kim-api`; name another place with --kim-root DIR."
    )


class NoCompilerError(TorchMLError):
    """No C++ compiler that runs was found."""

    exit_code = 7
    default_remedy = (
        "Install one with `sudo apt install g++` or `conda install -c conda-forge cxx-compiler`, "
        "or name one with --cxx PATH."
    )


class CompilerTooOldError(TorchMLError):
    """The C++ compiler does not know the C++ standard that torch's headers are written in."""

    exit_code = 8
    default_remedy = (
        "Install a newer one (`conda install -c conda-forge cxx-compiler`, or a newer g++ package "
        "of your system) and name it with --cxx PATH."
    )


class NoCMakeError(TorchMLError):
    """No CMake that runs was found."""

    exit_code = 9
    default_remedy = "Install it with `python -m pip install cmake` or `sudo apt install cmake`."


class CMakeTooOldError(TorchMLError):
    """CMake is older than the driver's build needs."""

    exit_code = 10
    default_remedy = "Install a newer one with `python -m pip install cmake`."


class MissingToolError(TorchMLError):
    """A small tool of the build is not installed (ninja or make)."""

    exit_code = 11


class SourcesMissingError(TorchMLError):
    """The driver's sources, templates or examples are not where this package keeps them."""

    exit_code = 12
    default_remedy = (
        "Reinstall torchml-installer from its sources: `python -m pip install --force-reinstall .` "
        "in the folder that holds them."
    )


class TorchTooOldError(TorchMLError):
    """The libtorch is older than the driver's sources can be compiled with."""

    exit_code = 13
    default_remedy = (
        "Install a newer one with `python -m pip install --upgrade torch`, or name one with "
        "--torch-root DIR."
    )


class ExtensionMissingError(TorchMLError):
    """A folder that is named for torch_scatter or torch_sparse holds no library for this torch."""

    exit_code = 14


class NoDeviceError(TorchMLError):
    """There is no such GPU here, or torch was built without it."""

    exit_code = 15


class LibdescriptorUnusableError(TorchMLError):
    """A libdescriptor is missing where it was named, cannot be loaded here or computes wrongly."""

    exit_code = 16


class KnownProblemError(TorchMLError):
    """A known problem was recognised that would make the build fail; the message explains it."""

    exit_code = 17


# --- building and installing ----------------------------------------------------------------


class BuildFailedError(TorchMLError):
    """Configuring, compiling or linking failed; the message shows the first error of the log."""

    exit_code = 20
    default_remedy = "Read the log named above; `torchml-install doctor` checks the tools."


class ConfigureLoopError(TorchMLError):
    """CMake configured the project again and again, and was stopped."""

    exit_code = 18


class WrongEnergyError(TorchMLError):
    """The driver was built, but does not compute a known energy; nothing was installed."""

    exit_code = 19
    default_remedy = (
        "The driver in place, if any, stays. Try another torch (--torch-root DIR) or compiler "
        "(--cxx PATH), and please report it with the output of `torchml-install doctor --markdown`."
    )


class CollectionNotWritableError(TorchMLError):
    """The KIM collection's folder cannot be written to."""

    exit_code = 21
    default_remedy = "Install into your own collection with --collection user."


class CollectionUnsetError(TorchMLError):
    """The KIM collection has no folder (its environment variable is not set)."""

    exit_code = 22


class LibraryNotLoadableError(TorchMLError):
    """The driver was built, but the system cannot load it; nothing was installed."""

    exit_code = 23
    default_remedy = (
        "A library named above is missing or of another version: reinstall torch, or name another "
        "one with --torch-root DIR."
    )


class PythonModuleError(TorchMLError):
    """The Python module cannot be built for or installed into the active Python."""

    exit_code = 24


class DiskFullError(TorchMLError):
    """No space left on the device."""

    exit_code = 25
    default_remedy = "Free some space and run again."


class NotPermittedError(TorchMLError):
    """A file or folder may not be read or written."""

    exit_code = 26
    default_remedy = "Check the owner and the permissions of that path, or name another one."


class DownloadFailedError(TorchMLError):
    """Sources could not be downloaded, or are not what was published."""

    exit_code = 27
    default_remedy = (
        "Check the network connection and pip's settings (`python -m pip config list`)."
    )


class NoProviderError(TorchMLError):
    """Something is missing that no package manager which works here can install."""

    exit_code = 28


class PackageInstallError(TorchMLError):
    """A package manager failed; the message shows the end of what it said."""

    exit_code = 29
    default_remedy = (
        "Check the network connection and the package manager's own settings; the log has all of "
        "its output. The same command continues where this one stopped."
    )


# --- models ---------------------------------------------------------------------------------


class ModelFileMissingError(TorchMLError):
    """The model file does not exist, or is a folder."""

    exit_code = 30
    default_remedy = "Check the path; a model is one TorchScript file, for example SW_Si.pt."


class ModelFileDamagedError(TorchMLError):
    """The model file is empty, truncated or otherwise damaged."""

    exit_code = 31
    default_remedy = "Copy or save the file again: it is not whole."


class NotTorchScriptError(TorchMLError):
    """The model file is something other than TorchScript."""

    exit_code = 32
    default_remedy = (
        "Load the model in Python and save it as TorchScript: torch.jit.script(model).save(FILE); "
        "for a model of e3nn (MACE, NequIP, SevenNet) e3nn.util.jit.script(model).save(FILE)."
    )


class WrongForwardError(TorchMLError):
    """The model's forward takes or returns other things than its pattern says."""

    exit_code = 33


class BadNameError(TorchMLError):
    """A name that KIM does not accept: it must be a C identifier."""

    exit_code = 34


class BadOptionError(TorchMLError):
    """A value that makes no sense: unknown element, cutoff that is not positive, and so on."""

    exit_code = 35


class OutputExistsError(TorchMLError):
    """What would be written exists already."""

    exit_code = 36
    default_remedy = "Add --force to replace it, or choose another name."


class NotAModelFolderError(TorchMLError):
    """The folder is not a portable model that KIM can install."""

    exit_code = 37
    default_remedy = "Make one from a TorchScript file with `torchml-install model pack`."


class BadParameterFileError(TorchMLError):
    """A parameter file that cannot be understood; the message names its line."""

    exit_code = 38


class NotInstalledError(TorchMLError):
    """What is to be removed was not installed by this program."""

    exit_code = 39


# --- running the examples -------------------------------------------------------------------


class MissingForQuickstartError(TorchMLError):
    """Something that the quickstart runs is not installed (LAMMPS, ASE, kimpy, ...)."""

    exit_code = 40


class RunFailedError(TorchMLError):
    """A program that the quickstart started failed."""

    exit_code = 41


class ResultsDifferError(TorchMLError):
    """The quickstart's model and KIM's reference disagree."""

    exit_code = 42
    default_remedy = (
        "Rebuild the driver with `torchml-install driver`; if the numbers stay apart, please "
        "report it with the output of `torchml-install doctor --markdown`."
    )


class UnphysicalModelError(TorchMLError):
    """A model breaks a law that every potential obeys."""

    exit_code = 43
    default_remedy = (
        "The explanations above say what to look for in the model; what it does on purpose, you "
        "may ignore."
    )


class UnsoundModelError(TorchMLError):
    """A model that a simulation would get wrong results from, or that fails; nothing is packed."""

    exit_code = 46
    default_remedy = (
        "Correct the model: README.md says what it has to return. To pack it all the same, add "
        "--unchecked; `torchml-install model verify` then shows all checks."
    )


# --- compiling models ----------------------------------------------------------------------


class NotCompilableError(TorchMLError):
    """Torch cannot make code of this model that works for systems of all sizes."""

    exit_code = 44
    default_remedy = (
        "Pack the model as TorchScript instead: `torchml-install model pack my_model.pt`."
    )


class CompiledModelDiffersError(TorchMLError):
    """The compiled model does not give the results of the original."""

    exit_code = 45
    default_remedy = (
        "Nothing was written. Pack the model as TorchScript instead, or try another torch."
    )


# --- the command itself ---------------------------------------------------------------------


class UnexpectedError(TorchMLError):
    """A fault of this program; the traceback was written to a file."""

    exit_code = 70


class OutputNotWrittenError(TorchMLError):
    """What was to be printed could not be written (a full disk behind ``> FILE``)."""

    exit_code = 71


class InterruptedByUserError(TorchMLError):
    """Ctrl-C, or a request to end; what was installed before is still in place."""

    exit_code = 130
    default_remedy = "Nothing was half installed; run the same command again to continue."
