"""Computes on every rank, and checks that the driver asks MPI for the number of ranks on the node.

Removes the launcher's variables first, so that MPI is the only source. Ranks of one node share its
cores.
"""

import os
import re

from mpi4py import MPI


def forget_the_launcher() -> None:
    for name in list(os.environ):
        if re.match(r"(OMPI_|PMI|PMIX_|MPI_LOCAL|MV2_|SLURM_|OMP_NUM_THREADS$)", name):
            del os.environ[name]


def main() -> None:
    forget_the_launcher()
    # Import only now: torch and the driver read the environment when they are loaded.
    import torch
    from test_driver import check_energy

    check_energy()
    ranks = MPI.COMM_WORLD.size
    share = max(1, min(len(os.sched_getaffinity(0)), (os.cpu_count() or 1) // ranks))
    threads = torch.get_num_threads()
    print(f"rank {MPI.COMM_WORLD.rank} of {ranks}: {threads} threads", flush=True)
    assert ranks == 2
    assert threads == share


if __name__ == "__main__":
    main()
