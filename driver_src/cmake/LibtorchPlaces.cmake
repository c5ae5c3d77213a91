# Where libtorch is looked for, and which one is taken.
#
# In this order, which is also torchml_installer/detect/torch.py's (a test compares them):
#
#   1. TORCH_ROOT (variable, then environment), Torch_ROOT (environment). Where one is set, nothing
#      else is looked at.
#   2. The torch of the active Python, which is found and not imported: Python_EXECUTABLE, else the
#      first python3 on PATH. A wheel takes this one and no other: a process that imports both would
#      hold two libtorches, which ends it.
#   3. CONDA_PREFIX.
#   4. What environment modules set (Libtorch_MODULES).
#   5. What `torchml-install deps --libtorch` has unpacked.
#   6. The system's folders (Libtorch_SYSTEM_PLACES).
#
# The first installation counts, also one that cannot be used: a silent second choice would build
# against another torch than the one that the user runs.
#
# What torchml-install knows besides, and hands to CMake as TORCH_ROOT: which environment is active
# although another Python comes first on PATH; and what `deps --libtorch --prefix DIR` has unpacked.
#
# Reads TORCH_ROOT, Python_EXECUTABLE and TORCHML_BUILDING_WHEEL. Sets
#   Libtorch_PLACES        all of them, in order
#   Libtorch_ROOT          the first that counts, "" if there is none
#   Libtorch_CPU_LIBRARY, Libtorch_C10_LIBRARY  its libraries
#   Libtorch_LACKS         what it lacks, or that there is none; "" if it is whole
#   Libtorch_LOOKED        lines for a message: what was looked at and not taken
# Runs as a script, too: cmake -P.
cmake_policy(VERSION 3.18)

# The oldest release that the driver compiles with, and the newest that it was built and tested with.
set(Libtorch_MINIMUM 1.13)
set(Libtorch_NEWEST 2.15)
# Of modules. EasyBuild's come first, then Spack's and those written by hand.
set(Libtorch_MODULES
    EBROOTPYTORCH PY_TORCH_ROOT PYTORCH_ROOT PYTORCH_HOME LIBTORCH_ROOT LIBTORCH_HOME LIBTORCH
    CMAKE_PREFIX_PATH)
if(NOT DEFINED Libtorch_SYSTEM_PLACES)
    set(Libtorch_SYSTEM_PLACES /usr /usr/local /opt/libtorch)
endif()

# A library in an installation, or "".
function(_libtorch_library root name result)
    set(folders lib lib64)
    if(CMAKE_LIBRARY_ARCHITECTURE)
        list(APPEND folders "lib/${CMAKE_LIBRARY_ARCHITECTURE}")
    endif()
    file(GLOB triplets LIST_DIRECTORIES true RELATIVE "${root}" "${root}/lib/*-linux-gnu*")
    set(found "")
    foreach(folder IN LISTS folders triplets)
        if(EXISTS "${root}/${folder}/lib${name}.so")
            set(found "${root}/${folder}/lib${name}.so")
            break()
        endif()
    endforeach()
    set(${result} "${found}" PARENT_SCOPE)
endfunction()

# What a line of Python prints, or "". Not run in the current folder, in which Python finds packages.
function(_libtorch_ask python line result)
    execute_process(
        COMMAND "${python}" -c "${line}" WORKING_DIRECTORY /
        OUTPUT_VARIABLE said OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
    if(failed)
        set(said "")
    endif()
    set(${result} "${said}" PARENT_SCOPE)
endfunction()

# The folder of the torch package that an interpreter would import, or "".
function(_libtorch_package python result)
    _libtorch_ask("${python}"
        "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0])"
        package)
    set(${result} "${package}" PARENT_SCOPE)
endfunction()

# The installation that a package belongs to. Those that are split (Debian's, conda-forge's) hold links
# to the libraries at most: what they lead to, and all else, lies in the system or the environment.
function(_libtorch_of_package package python result)
    set(root "${package}")
    if(NOT EXISTS "${package}/include/ATen")
        _libtorch_ask("${python}" "import sys; print(sys.prefix)" prefix)
        _libtorch_library("${prefix}" torch_cpu in_prefix)
        if(NOT "${in_prefix}" STREQUAL "")
            set(root "${prefix}")
        elseif(EXISTS "${package}/lib/libtorch_cpu.so")
            get_filename_component(library "${package}/lib/libtorch_cpu.so" REALPATH)
            get_filename_component(folder "${library}" DIRECTORY)
            if("${folder}" MATCHES "^(.+)/lib(64)?(/[^/]+-linux-gnu[^/]*)?$")
                set(root "${CMAKE_MATCH_1}")
            endif()
        endif()
    endif()
    set(${result} "${root}" PARENT_SCOPE)
endfunction()

# What modules of clusters set: prefixes, of which some hold a Python package.
function(_libtorch_of_modules result)
    set(places "")
    foreach(variable IN LISTS Libtorch_MODULES)
        string(REPLACE ":" ";" folders "$ENV{${variable}}")
        foreach(folder IN LISTS folders)
            if("${folder}" STREQUAL "")
                continue()
            endif()
            # torch.utils.cmake_prefix_path is the folder share/cmake of the Python package.
            string(REGEX REPLACE "/share/cmake/*$" "" folder "${folder}")
            file(GLOB packages LIST_DIRECTORIES true "${folder}/lib/python3*/site-packages/torch")
            if("${packages}" STREQUAL "")
                set(packages "${folder}")
            endif()
            list(APPEND places ${packages})
        endforeach()
    endforeach()
    set(${result} "${places}" PARENT_SCOPE)
endfunction()

set(_libtorch_named "")
foreach(_place "${TORCH_ROOT}" "$ENV{TORCH_ROOT}" "$ENV{Torch_ROOT}")
    if(NOT "${_place}" STREQUAL "")
        set(_libtorch_named "${_place}")
        break()
    endif()
endforeach()

set(Libtorch_PLACES "${_libtorch_named}")
if("${_libtorch_named}" STREQUAL "")
    set(_libtorch_python "${Python_EXECUTABLE}")
    if("${_libtorch_python}" STREQUAL "")
        # On PATH alone: CMAKE_PREFIX_PATH leads to KIM's prefix, and to another Python there.
        unset(_libtorch_python)
        unset(_libtorch_python CACHE)
        find_program(_libtorch_python NAMES python3 python NO_PACKAGE_ROOT_PATH NO_CMAKE_PATH
            NO_CMAKE_ENVIRONMENT_PATH NO_CMAKE_SYSTEM_PATH)
    endif()
    set(_libtorch_python_root "")
    if(_libtorch_python)
        _libtorch_package("${_libtorch_python}" _libtorch_python_root)
    endif()
    if(NOT "${_libtorch_python_root}" STREQUAL "")
        _libtorch_of_package("${_libtorch_python_root}" "${_libtorch_python}" _place)
        list(APPEND Libtorch_PLACES "${_place}")
    elseif(TORCHML_BUILDING_WHEEL)
        message(FATAL_ERROR
            "torchml: ${_libtorch_python} has no torch that this wheel could be built for. pip builds wheels in "
            "an environment of their own, which hides the torch that is installed: 'pip install "
            "scikit-build-core pybind11', then 'pip install --no-build-isolation ./driver_src' (with uv: 'uv "
            "pip install --no-build-isolation'). If there is no torch yet, 'pip install torch' comes first; a "
            "libtorch elsewhere is named with TORCH_ROOT.")
    endif()
    if(NOT TORCHML_BUILDING_WHEEL)
        if(NOT "$ENV{CONDA_PREFIX}" STREQUAL "")
            list(APPEND Libtorch_PLACES "$ENV{CONDA_PREFIX}")
        endif()
        _libtorch_of_modules(_libtorch_modules)
        list(APPEND Libtorch_PLACES ${_libtorch_modules})
        if("$ENV{XDG_DATA_HOME}" MATCHES "^/")
            list(APPEND Libtorch_PLACES "$ENV{XDG_DATA_HOME}/torchml-install/deps/libtorch")
        elseif(NOT "$ENV{HOME}" STREQUAL "")
            list(APPEND Libtorch_PLACES "$ENV{HOME}/.local/share/torchml-install/deps/libtorch")
        endif()
        list(APPEND Libtorch_PLACES ${Libtorch_SYSTEM_PLACES})
        list(REMOVE_DUPLICATES Libtorch_PLACES)
    endif()
endif()

set(Libtorch_ROOT "")
set(Libtorch_LACKS "there is none")
set(Libtorch_LOOKED "")
foreach(_place IN LISTS Libtorch_PLACES)
    _libtorch_library("${_place}" torch_cpu Libtorch_CPU_LIBRARY)
    _libtorch_library("${_place}" c10 Libtorch_C10_LIBRARY)
    set(_libtorch_reason "")
    if(NOT EXISTS "${_place}")
        set(_libtorch_reason "no such folder")
    elseif("${Libtorch_CPU_LIBRARY}" STREQUAL "" OR "${Libtorch_C10_LIBRARY}" STREQUAL "")
        set(_libtorch_reason "no lib/libtorch_cpu.so and lib/libc10.so")
    elseif(NOT EXISTS "${_place}/include/ATen/ATen.h")
        set(_libtorch_reason "the libraries are there, include/ATen/ATen.h is not")
    endif()
    if(NOT "${_libtorch_reason}" STREQUAL "")
        string(APPEND Libtorch_LOOKED "\n  ${_place}: ${_libtorch_reason}")
    endif()
    if(NOT "${Libtorch_CPU_LIBRARY}" STREQUAL "" OR EXISTS "${_place}/include/ATen/ATen.h")
        set(Libtorch_ROOT "${_place}")
        set(Libtorch_LACKS "${_libtorch_reason}")
        break()
    endif()
endforeach()
