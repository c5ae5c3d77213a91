"""Refusals in the words of conda, mamba and micromamba; tests/conda/ has those of pixi's solver."""

from __future__ import annotations

import pytest

from torchml_installer.deps.conda_conflicts import explain

TWO_MPIS = """\
LibMambaUnsatisfiableError: Encountered problems while solving:
  - package torchml-driver-0.1.0-cpu_py312_mpi_openmpi_h1_0 requires \
openmpi >=5.0.8,<6.0a0, but none of the providers can be installed

Could not solve for environment specs
The following packages are incompatible
├─ lammps =* *mpich* is installable and it requires
│  └─ mpich >=4.3.2,<5.0a0 *, which requires
│     └─ mpi ==1.0.1 mpich, which can be installed;
└─ torchml-driver =* *openmpi* is not installable because it requires
   └─ openmpi >=5.0.8,<6.0a0 *, which requires
      └─ mpi ==1.0.1 openmpi, which conflicts with any installable versions previously reported.
"""
TWO_TORCHES = """\
error    libmamba Could not solve for environment specs
    The following packages are incompatible
    ├─ pytorch =2.12 * is installable and it requires
    │  └─ libtorch ==2.12.0 cpu_generic_h0_0, which can be installed;
    └─ torchml-driver =* * is not installable because it requires
       └─ libtorch >=2.13.0,<2.14.0a0 *, which conflicts with any installable \
versions previously reported.
critical libmamba Could not solve for environment specs
"""
NO_LIBTORCH = """\
Encountered problems while solving:
  - nothing provides libtorch >=2.13.0,<2.14.0a0 needed by \
torchml-driver-0.1.0-cpu_py312_nompi_h1_100
"""
NO_GPU = """\
Encountered problems while solving:
  - nothing provides __cuda needed by torchml-driver-0.1.0-cuda_py312_nompi_h1_300
"""
OLD_KIM = """\
Encountered problems while solving:
  - package torchml-driver-0.1.0-cpu_py312_nompi_h1_100 requires \
kim-api >=2.4,<3.0a0, but none of the providers can be installed
"""
NOT_FOUND = """\
PackagesNotFoundError: The following packages are not available from current channels:

  - pytorch
  - kim-api[version='>=2.3']

Current channels:

  - https://repo.anaconda.com/pkgs/main/linux-64
"""
NOT_OURS = """\
    The following package could not be installed
    └─ torchml-driver   does not exist (perhaps a typo or a missing channel).
critical libmamba Could not solve for environment specs
"""


#: pixi's solver, for torchml-driver and openkim-models.
MODELS_OF_OLD_KIM = """\
Cannot solve the request because of: torchml-driver * cannot be installed because there are no \
viable options:
└─ torchml-driver 0.1.0 would require
   └─ __cuda *, for which no candidates were found.
The following packages are incompatible
├─ openkim-models * can be installed with any of the following options:
│  └─ openkim-models 2021.1.28 would require
│     └─ kim-api >=2.3.0,<2.4.0a0, which can be installed with any of the following options:
│        └─ kim-api 2.3.0
└─ torchml-driver * cannot be installed because there are no viable options:
   └─ torchml-driver 0.1.0 would require
      └─ kim-api >=2.4,<3.0a0, which cannot be installed because there are no viable options:
         └─ kim-api 2.4.2, which conflicts with the versions reported above.
"""
REQUESTED_OLD_KIM = """\
Could not solve for environment specs
The following packages are incompatible
├─ kim-api =2.3 * is requested and can be installed;
└─ torchml-driver =* * is not installable because it requires
   └─ kim-api >=2.4,<3.0a0 *, which conflicts with any installable versions previously reported.
"""
NEWER_KIM_IS_KEPT = """\
Could not solve for environment specs
The following packages are incompatible
├─ kim-api =2.4 * is requested and can be installed;
└─ openkim-models =* * is not installable because it requires
   └─ kim-api >=2.3.0,<2.4.0a0 *, which conflicts with any installable versions previously reported.
"""
PINNED_MPI = """\
SpecsConfigurationConflictError: Requested specs conflict with configured specs.
  requested specs:
    - torchml-driver=*=*mpi_openmpi*
  pinned specs:
    - torchml-driver=*=*mpi_mpich*
Use 'conda config --show-sources' to look for 'pinned_specs' and 'track_features'
configuration parameters.  Pinned specs may also be defined in the file
/opt/conda/envs/x/conda-meta/pinned.
"""
TRIED_AGAIN = f"""\
Connection reset by peer, trying again: https://mirror.example/linux-64/repodata.json.zst
{REQUESTED_OLD_KIM}"""
NO_SUCH_VERSION = (
    "Cannot solve the request because of: No candidates were found for pytorch 99.*.\n"
)
NO_SUCH_BUILD = """\
Could not solve for environment specs
└─ torchml-driver =* *mpi_impi* does not exist (perhaps a typo or a missing channel).
"""
NO_SUCH_NAME = "Cannot solve the request because of: No candidates were found for lamps *.\n"
NAME_ON_PYPI = "Cannot solve the request because of: No candidates were found for vesin *.\n"


@pytest.mark.parametrize(
    ("said", "message", "remedy"),
    [
        (
            MODELS_OF_OLD_KIM,
            "built with kim-api >=2.4,<3.0a0, but openkim-models needs",
            "Leave out",
        ),
        (REQUESTED_OLD_KIM, "built with kim-api >=2.4,<3.0a0", "'kim-api>=2.4,<3.0a0'"),
        (
            NEWER_KIM_IS_KEPT,
            "openkim-models needs kim-api >=2.3.0",
            "kim-api-collections-management",
        ),
        (PINNED_MPI, "Open MPI and MPICH are both requested", "conda-meta/pinned"),
        (TRIED_AGAIN, "built with kim-api >=2.4,<3.0a0", "'kim-api>=2.4,<3.0a0'"),
        (NO_SUCH_VERSION, "have no pytorch 99.*.", "`conda search -c conda-forge pytorch`"),
        (NO_SUCH_BUILD, "no torchml-driver =* *mpi_impi*.", "search -c CHANNEL torchml-driver`"),
        (NO_SUCH_NAME, "no package lamps.", "Check the name"),
        (NAME_ON_PYPI, "no package vesin.", "`conda install -c conda-forge python-vesin`"),
        (TWO_MPIS, "Open MPI and MPICH are both requested", "'torchml-driver=*=*nompi*'"),
        (TWO_TORCHES, "libtorch >=2.13.0,<2.14.0a0", "'libtorch>=2.13.0,<2.14.0a0'"),
        (
            NO_LIBTORCH,
            "The channels lack it, or another one is requested",
            "`torchml-install driver`",
        ),
        (NO_GPU, "an NVIDIA GPU, but none", "CONDA_OVERRIDE_CUDA=12.9 conda install"),
        (OLD_KIM, "kim-api >=2.4,<3.0a0", "'kim-api>=2.4,<3.0a0'"),
        (NOT_FOUND, "no package pytorch, and no kim-api >=2.3", "-c conda-forge pytorch`"),
        (NOT_OURS, "no package torchml-driver", "python -m ci.conda_packages output"),
    ],
)
def test_a_refusal_is_explained(said: str, message: str, remedy: str) -> None:
    conflict = explain(said)
    assert conflict is not None
    assert message in conflict.message
    assert remedy in conflict.remedy


@pytest.mark.parametrize(
    "said",
    [
        "CondaHTTPError: HTTP 000 CONNECTION FAILED for url <https://mirror.example/linux-64/x.json>",
        "critical libmamba Multiple errors occured:\n    Download error (6) "
        "Could not resolve hostname [https://mirror.example/linux-64/repodata.json.zst]",
        "Download error (6) Couldn't resolve host name [https://mirror.example/noarch/x.zst]",
        "error sending request for url (https://mirror.example/noarch/x)\nCaused by: dns error",
    ],
)
def test_no_network_is_said_with_the_address(said: str) -> None:
    conflict = explain(said)
    assert conflict is not None
    assert "could not be reached (https://mirror.example/" in conflict.message
    assert "channel_alias" in conflict.remedy


def test_what_is_not_known_is_not_guessed_at() -> None:
    assert explain("EnvironmentNotWritableError: The current user has no permissions") is None
    assert explain("Could not solve for environment specs\n  blas conflicts with mkl") is None
    assert explain("Everything was installed.") is None


def test_packages_that_are_not_there_are_not_said_to_be_on_conda_forge() -> None:
    for said in (NO_SUCH_VERSION, NO_SUCH_NAME):
        conflict = explain(said)
        assert conflict is not None
        assert "conda-forge has" not in conflict.remedy
        assert "conda install" not in conflict.remedy


def test_a_channel_that_was_not_reached_counts_more_than_the_packages_it_would_have() -> None:
    said = f"Could not resolve host: conda.example (https://conda.example/noarch)\n{NO_SUCH_NAME}"
    conflict = explain(said)
    assert conflict is not None
    assert "could not be reached" in conflict.message
