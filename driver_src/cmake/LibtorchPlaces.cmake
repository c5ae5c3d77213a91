# Where to look for libtorch, and which one to use.
#
# The order is the same as in torchml_installer/detect/torch.py (a test compares them):
#
#   1. TORCH_ROOT (variable, then environment), Torch_ROOT (environment). If one is set, no other place
#      counts.
#   2. The torch of the active Python, which is found and not imported: Python_EXECUTABLE, else the
#      first python3 on PATH. A wheel uses only this one: a process that imports the wheel and another
#      torch would load two libtorches, and crash.
#   3. CONDA_PREFIX.
#   4. The variables that environment modules set (Libtorch_MODULES).
#   5. The libtorch that `torchml-install deps --libtorch` unpacked.
#   6. The system's folders (Libtorch_SYSTEM_PLACES).
#
# The first installation counts, even if it is unusable: a silent second choice would build against
# another torch than the one that the user runs.
#
# torchml-install knows two more things, and passes them to CMake as TORCH_ROOT: the active environment,
# if another Python comes first on PATH; and the libtorch from `deps --libtorch --prefix DIR`.
#
# Reads TORCH_ROOT, Python_EXECUTABLE and TORCHML_BUILDING_WHEEL. Sets
#   Libtorch_PLACES        all of them, in order
#   Libtorch_ROOT          the first that counts, "" if there is none
#   Libtorch_CPU_LIBRARY, Libtorch_C10_LIBRARY  its libraries
#   Libtorch_LACKS         what it lacks, or that there is none; "" if it is complete
#   Libtorch_LOOKED        lines for a message: the places examined and rejected
# Runs as a script, too: cmake -P.
cmake_policy(VERSION 3.18)

# The oldest release that the driver compiles with, and the newest that it was built and tested with.
set(Libtorch_MINIMUM 1.13)
set(Libtorch_NEWEST 2.15)
# The variables of environment modules: EasyBuild's, then Spack's and those of modules written by hand.
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

# What a line of Python prints, or "". Does not run in the current folder, where Python finds packages.
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

# The installation that a package belongs to. Split packages (Debian's, conda-forge's) contain at most
# links to the libraries; the libraries and everything else are in the system or the environment.
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

# The places that modules on clusters set: prefixes, some of which contain a Python package.
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
        # Search PATH only: CMAKE_PREFIX_PATH leads to KIM's prefix, which may have another Python.
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
            "torchml: ${_libtorch_python} has no torch to build this wheel for. By default, pip builds wheels in "
            "an isolated environment, which hides the installed torch. Run 'pip install scikit-build-core "
            "pybind11', then 'pip install --no-build-isolation ./driver_src' (with uv: 'uv pip install "
            "--no-build-isolation'). If torch is not installed, run 'pip install torch' first; to use a "
            "libtorch elsewhere, set TORCH_ROOT.")
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
        set(_libtorch_reason "the libraries exist, but include/ATen/ATen.h does not")
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
