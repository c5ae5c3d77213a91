"""Builds the C++ library of torch_scatter or torch_sparse from its source distribution.

The sources include a CMake project. This builds it without Python and CUDA code, against the
driver's libtorch, in a separate folder. Then it checks the result and renames it into place: an
interrupted run leaves nothing that looks complete.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from torchml_installer.building.cmake_project import CMakeProject
from torchml_installer.building.plan import BuildPlan, checked_jobs
from torchml_installer.deps.archives import Archive
from torchml_installer.deps.record import DepsOptions, Outcome
from torchml_installer.detect import toolchain
from torchml_installer.detect.known_extensions import (
    EXTENSIONS,
    RECORD,
    TorchExtension,
    default_prefix,
    read_record,
)
from torchml_installer.errors import (
    BuildFailedError,
    LibraryNotLoadableError,
)
from torchml_installer.support import build_folder, console, receipts
from torchml_installer.support.paths import cache_folder
from torchml_installer.support.placing import put_in_place, remove, require_replaceable, writing_to
from torchml_installer.support.process import run_logged
from torchml_installer.support.resources import shared_folder


def provide(word: str, options: DepsOptions) -> Outcome:
    """Installs the library unless it is installed for this torch already.

    Raises the problems of libtorch, compiler, CMake and ninja or make (3 to 13), BadOptionError,
    OutputExistsError if the prefix has a folder of that name which is not ours,
    NotPermittedError, DownloadFailedError, BuildFailedError and LibraryNotLoadableError.
    """
    extension = EXTENSIONS[word]
    jobs = checked_jobs(options.jobs)
    tools = toolchain(options.places)
    plan = BuildPlan(tools, options.places, jobs=jobs, verbose=options.verbose)
    for finding in (tools.torch, tools.compiler, tools.cmake, tools.build_tool):
        if finding.problem is not None:
            raise finding.problem
    prefix = (options.prefix or default_prefix(tools.torch.version)).absolute()
    work = Work(extension, plan, prefix, options)
    ours = options.prefix is None or bool(read_record(work.root))
    require_replaceable(work.root, ours=ours, force=options.force)
    if options.dry_run:
        state = "present" if work.is_present() else "planned"
        commands = [] if state == "present" else work.commands()
        return work.outcome(state, commands)
    # The lock belongs to the work folder: each prefix has its own.
    with build_folder.locked(work.folder):
        if work.is_present():
            receipts.write_if_missing(work.receipt())
            return work.outcome("present", [])
        work.run()
    return work.outcome("installed", work.commands())


class Work:
    """One library to build: its folders and commands."""

    def __init__(
        self, extension: TorchExtension, plan: BuildPlan, prefix: Path, options: DepsOptions
    ) -> None:
        key = hashlib.sha256(
            f"{prefix}\n{extension.title}".encode(errors="surrogateescape")
        ).hexdigest()[:12]
        self.extension = extension
        self.plan = plan
        self.options = options
        self.prefix = prefix
        self.root = prefix / extension.title
        self.folder = build_folder.default_parent() / f"deps-{extension.title}-{key}"
        # pip runs the package's setup.py to learn its name, which imports torch.
        self.published = Archive(
            extension.package,
            extension.version,
            extension.archive,
            extension.sha256,
            ("--no-binary", ":all:", "--no-build-isolation"),
            modules=("setuptools", "torch"),
        )
        self.archive = cache_folder() / "downloads" / extension.archive
        if options.sources is not None:
            self.archive = options.sources.absolute() / extension.archive
        self.log = cache_folder() / "logs" / f"deps-{extension.title}.log"
        self.project = CMakeProject(
            plan, self.folder / extension.title, self.folder / "build", self.log
        )

    def is_present(self) -> bool:
        """Whether an earlier run put the library there, for the same torch and release."""
        if self.options.force or self.extension.library_in(self.root) is None:
            return False
        return read_record(self.root) == self._record()

    def outcome(self, state: str, commands: list[list[str]]) -> Outcome:
        extension = self.extension
        return Outcome(
            extension.package,
            extension.version,
            state,
            self.root,
            extension.variable,
            commands,
            switch=("KIM_MODEL_OPERATORS", "extension"),
        )

    def commands(self) -> list[list[str]]:
        """The commands to run, in order; afterwards the result is renamed into place."""
        commands = [
            self._unpack_command(),
            self.project.configure_command(self._variables()),
            self.project.compile_command(self.plan.jobs),
            self.project.install_command(),
        ]
        if self.options.sources is None:
            commands.insert(0, self.published.download_command(self.archive.parent))
        return commands

    def run(self) -> None:
        """Installs the library in ``root``, or leaves everything as it was."""
        remove(self.folder)
        self.log.unlink(missing_ok=True)
        try:
            with writing_to(self.prefix):
                self.prefix.mkdir(parents=True, exist_ok=True)
            self._require_archive()
            self._unpack()
            self._build()
            with writing_to(self.prefix):
                put_in_place(self.folder / "stage", self.root)
        finally:
            remove(self.folder)
        receipts.write(self.receipt())

    def receipt(self) -> receipts.Receipt:
        made_from = {"sources": str(self.archive), "torch": self.plan.tools.torch.version}
        return receipts.Receipt("library", self.extension.title, [self.root], made_from)

    def _require_archive(self) -> None:
        published = self.published
        if self.options.sources is None and not published.is_whole(self.archive):
            published.download(self.archive, self.log, verbose=self.plan.verbose)
        published.require_whole(self.archive)

    def _unpack(self) -> None:
        self.folder.mkdir(parents=True)
        run_logged(
            self._unpack_command(),
            title=f"unpacking {self.extension.title}",
            log=self.log,
            verbose=self.plan.verbose,
        )
        if not (self.project.source / "CMakeLists.txt").is_file():
            raise BuildFailedError(f"{self.archive} has no {self.extension.title}/CMakeLists.txt.")

    def _unpack_command(self) -> list[str]:
        return [sys.executable, "-m", "tarfile", "-e", str(self.archive), str(self.folder)]

    def _build(self) -> None:
        title = self.extension.title
        console.note(f"{title}: building takes some minutes, once for each version of torch")
        self.project.configure(f"configuring {title}", self._variables())
        self.project.compile(f"compiling {title}", self.plan.jobs)
        self.project.install(f"collecting {title}")
        staged = self.folder / "stage"
        library = self.extension.library_in(staged)
        if library is None:
            raise BuildFailedError(
                f"The build of {title} did not produce lib{self.extension.library}.\n"
                f"  log: {self.log}"
            )
        self._require_loadable(library)
        record = json.dumps(self._record(), indent=2)
        (staged / RECORD).write_text(record + "\n", encoding="utf-8")

    def _require_loadable(self, library: Path) -> None:
        """Loads it in a separate process, to keep this one clean."""
        load = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
        done = subprocess.run(
            [sys.executable, "-c", load, str(library)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"exit code {done.returncode}"
            raise LibraryNotLoadableError(f"The new library cannot be loaded: {reason}")

    def _variables(self) -> dict[str, str | Path]:
        return {
            "CMAKE_BUILD_TYPE": "Release",
            "WITH_PYTHON": "OFF",
            "WITH_CUDA": "OFF",
            "Torch_DIR": Path(__file__).resolve().parent / "cmake",
            "TORCHML_FIND_LIBTORCH": shared_folder("driver_src") / "cmake/FindLibtorch.cmake",
            "TORCH_ROOT": self.plan.tools.torch.where or "",
            # torch_scatter requires CMake 3.0 policies, which CMake 4 has dropped.
            "CMAKE_POLICY_VERSION_MINIMUM": "3.5",
            "CMAKE_INSTALL_PREFIX": self.folder / "stage",
            "CMAKE_INSTALL_LIBDIR": "lib",
            "CMAKE_INSTALL_RPATH_USE_LINK_PATH": "ON",
        }

    def _record(self) -> dict[str, str]:
        return {
            "package": self.extension.package,
            "version": self.extension.version,
            "sha256": self.extension.sha256,
            "torch_version": self.plan.tools.torch.version,
        }
