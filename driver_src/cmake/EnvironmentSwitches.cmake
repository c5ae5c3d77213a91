# The defaults of TORCHML_GRAPH and TORCHML_MPI, from the environment.
# torchml_installer/driver/options.py reads the environment alike; a test compares the two.
#
# Sets TORCHML_GRAPH_DEFAULT and TORCHML_MPI_DEFAULT. Runs as a script, too: cmake -P.

set(TORCHML_GRAPH_DEFAULT ON)
# The second spelling has appeared in print. Both count, whatever their value.
if(DEFINED ENV{KIM_MODEL_DISABLE_GRAPH} OR DEFINED ENV{KIM_MODEL_DISBALE_GRAPH})
    set(TORCHML_GRAPH_DEFAULT OFF)
endif()

set(TORCHML_MPI_DEFAULT OFF)
if("$ENV{KIM_MODEL_MPI_AWARE}" MATCHES "^([Yy][Ee][Ss]|[Oo][Nn]|[Tt][Rr][Uu][Ee]|1)$")
    set(TORCHML_MPI_DEFAULT ON)
endif()
