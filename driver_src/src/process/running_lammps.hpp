#pragma once

namespace torchml {

/// Whether LAMMPS runs in this process, as a library of any program or as the program itself.
bool runs_lammps();

/// Whether LAMMPS's own program runs with partitions here, or beside other programs.
bool is_partitioned();

/// Whether this process is LAMMPS's own program, and all ranks of the MPI job run one simulation
/// together: without partitions, and beside no other program.
bool is_lammps_on_all_ranks();

}  // namespace torchml
