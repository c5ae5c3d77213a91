# Finds libtorch without calling its own CMake configuration, which requires a CUDA toolkit (and MKL,
# and more) if torch is a CUDA build. The driver has no CUDA source and links only libtorch's CPU
# library.
#
# LibtorchPlaces.cmake defines where it looks, and in which order.
#
# Sets Libtorch_ROOT, Libtorch_VERSION (_MAJOR, _MINOR), Libtorch_LIBRARY_DIR, Libtorch_CXX_STANDARD,
# Libtorch_AOTINDUCTOR (whether it can run AOTInductor packages) and the target libtorch::libtorch.

# Independent of the including project: torch_scatter's requests 3.0, with which if() has no IN_LIST and
# checks ignore CMAKE_CXX_STANDARD.
cmake_policy(VERSION 3.18)

if(NOT CMAKE_CXX_COMPILER_LOADED)
    message(FATAL_ERROR "torchml: FindLibtorch was included before project(). Include it after project().")
endif()

set(TORCH_ROOT "" CACHE PATH "libtorch: a folder with include/ and lib/libtorch_cpu.so")

include("${CMAKE_CURRENT_LIST_DIR}/LibtorchPlaces.cmake")

if(NOT "${Libtorch_LACKS}" STREQUAL "")
    if("${_libtorch_named}" STREQUAL "" AND NOT "${Libtorch_ROOT}" STREQUAL "")
        message(FATAL_ERROR
            "torchml: the libtorch in ${Libtorch_ROOT} is incomplete: ${Libtorch_LACKS}. The build does not "
            "fall back to another one. Install it again, or set TORCH_ROOT to a folder with "
            "include/ATen/ATen.h, lib/libtorch_cpu.so and lib/libc10.so.")
    elseif(NOT "${_libtorch_named}" STREQUAL "")
        set(_libtorch_advice
            "Set TORCH_ROOT to a folder with include/ATen/ATen.h and lib/libtorch_cpu.so, such as "
            "site-packages/torch or an unpacked libtorch.")
    else()
        set(_libtorch_advice
            "Install it ('pip install torch' or 'conda install -c conda-forge pytorch'), or set "
            "TORCH_ROOT to a folder with include/ and lib/libtorch_cpu.so.")
    endif()
    string(CONCAT _libtorch_advice ${_libtorch_advice})
    message(FATAL_ERROR "torchml: libtorch was not found. ${_libtorch_advice} Looked in:${Libtorch_LOOKED}")
endif()
set(_cpu_library "${Libtorch_CPU_LIBRARY}")
set(_c10_library "${Libtorch_C10_LIBRARY}")
set(_include_dir "${Libtorch_ROOT}/include")

# A user who names a libtorch may want to build for another Python.
if(TORCHML_BUILDING_WHEEL AND NOT "${_libtorch_named}" STREQUAL "" AND Python_EXECUTABLE)
    _libtorch_package("${Python_EXECUTABLE}" _libtorch_python_root)
    if(EXISTS "${_libtorch_python_root}/lib/libtorch_cpu.so")
        get_filename_component(_libtorch_imported "${_libtorch_python_root}/lib/libtorch_cpu.so" REALPATH)
        get_filename_component(_libtorch_linked "${_cpu_library}" REALPATH)
        if(NOT "${_libtorch_imported}" STREQUAL "${_libtorch_linked}")
            message(FATAL_ERROR
                "torchml: TORCH_ROOT names the libtorch in ${Libtorch_ROOT}, but ${Python_EXECUTABLE} imports "
                "the torch in ${_libtorch_python_root}. A process that loads both crashes. Unset TORCH_ROOT, "
                "or build the wheel with a Python whose torch is the one that TORCH_ROOT names.")
        endif()
    endif()
endif()

get_filename_component(Libtorch_LIBRARY_DIR "${_cpu_library}" DIRECTORY)
set(_libtorch_includes "${_include_dir}")
if(EXISTS "${_include_dir}/torch/csrc/api/include")
    list(APPEND _libtorch_includes "${_include_dir}/torch/csrc/api/include")
endif()

set(Libtorch_VERSION "")
foreach(_header "torch/headeronly/version.h" "torch/csrc/api/include/torch/version.h" "torch/version.h")
    if(EXISTS "${_include_dir}/${_header}" AND "${Libtorch_VERSION}" STREQUAL "")
        file(STRINGS "${_include_dir}/${_header}" _lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH)")
        string(REGEX REPLACE "[^0-9;]" "" _numbers "${_lines}")
        string(REPLACE ";" "." Libtorch_VERSION "${_numbers}")
    endif()
endforeach()
if("${Libtorch_VERSION}" STREQUAL "" OR "${Libtorch_VERSION}" VERSION_LESS "${Libtorch_MINIMUM}")
    message(FATAL_ERROR
        "torchml: the libtorch in ${Libtorch_ROOT} is version '${Libtorch_VERSION}'; ${Libtorch_MINIMUM} or newer is "
        "needed. Install one ('pip install --upgrade torch' or 'conda install -c conda-forge pytorch'), or set "
        "TORCH_ROOT to a newer one on this machine.")
endif()

# KIM-API's C++ interface uses std::string, so both libraries must agree on its layout.
foreach(_config "${Libtorch_ROOT}/share/cmake/Torch/TorchConfig.cmake"
        "${Libtorch_LIBRARY_DIR}/../share/cmake/Torch/TorchConfig.cmake")
    if(EXISTS "${_config}")
        file(STRINGS "${_config}" _old_abi REGEX "_GLIBCXX_USE_CXX11_ABI=0")
        if(_old_abi)
            message(FATAL_ERROR
                "torchml: the libtorch in ${Libtorch_ROOT} (version ${Libtorch_VERSION}) was built with the "
                "old C++ ABI (_GLIBCXX_USE_CXX11_ABI=0) and cannot be linked with KIM-API. Use torch 2.7 "
                "or newer from PyPI, any torch from conda-forge, or a libtorch archive named 'cxx11-abi'.")
        endif()
        break()
    endif()
endforeach()

string(REGEX MATCH "^[0-9]+\\.[0-9]+" _libtorch_release "${Libtorch_VERSION}")
if(_libtorch_release VERSION_GREATER Libtorch_NEWEST)
    message(WARNING
        "torchml: libtorch ${Libtorch_VERSION} is newer than ${Libtorch_NEWEST}, the newest that this driver "
        "was tested with. If the driver does not compile, use a newer one, or torch ${Libtorch_NEWEST}: "
        "pip install 'torch==${Libtorch_NEWEST}.*'.")
endif()

# 1.13 to 2.7 compile as C++17; later headers need C++20, whatever their guards say.
if("${Libtorch_VERSION}" VERSION_LESS 2.8)
    set(Libtorch_CXX_STANDARD 17)
else()
    set(Libtorch_CXX_STANDARD 20)
endif()
foreach(_header "ATen/ATen.h" "torch/csrc/api/include/torch/all.h")
    if(EXISTS "${_include_dir}/${_header}")
        file(STRINGS "${_include_dir}/${_header}" _guards REGEX "__cplusplus *< *20[0-9][0-9]")
        foreach(_guard IN LISTS _guards)
            string(REGEX REPLACE ".*__cplusplus *< *20([0-9][0-9]).*" "\\1" _standard "${_guard}")
            if(_standard GREATER Libtorch_CXX_STANDARD)
                set(Libtorch_CXX_STANDARD "${_standard}")
            endif()
        endforeach()
    endif()
endforeach()

# Checks that the compiler supports what torch's headers use of the language and its library. A compiler
# may accept the option for a standard and implement only half of it.
function(_libtorch_check_compiler standard result)
    if(NOT "cxx_std_${standard}" IN_LIST CMAKE_CXX_COMPILE_FEATURES)
        set(${result} FALSE PARENT_SCOPE)
        return()
    endif()
    set(CMAKE_CXX_STANDARD ${standard})
    set(CMAKE_CXX_STANDARD_REQUIRED ON)
    set(CMAKE_CXX_EXTENSIONS OFF)
    set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
    set(CMAKE_REQUIRED_QUIET ON)
    set(source "#include <optional>
#include <string_view>
template <class T> constexpr bool same(T a, T b) { if constexpr (sizeof(T) > 0) return a == b; }
inline std::optional<std::string_view> text;
static_assert(same(1, 1));
")
    if(standard GREATER_EQUAL 20)
        string(APPEND source "#include <bit>
#include <compare>
#include <concepts>
#include <span>
template <class T> requires std::integral<T> T first(std::span<const T> values) { return values[0]; }
struct Point { int x = 0, y = 0; auto operator<=>(const Point&) const = default; };
static_assert(Point{.x = 1} > Point{.x = 0} && std::bit_cast<unsigned>(1) == 1);
")
    endif()
    include(CheckCXXSourceCompiles)
    # One name for each compiler and standard, since the result stays in the cache.
    string(MAKE_C_IDENTIFIER
        "TORCHML_CXX${standard}_${CMAKE_CXX_COMPILER_ID}_${CMAKE_CXX_COMPILER_VERSION}" name)
    check_cxx_source_compiles("${source}" ${name})
    set(${result} "${${name}}" PARENT_SCOPE)
endfunction()

_libtorch_check_compiler(${Libtorch_CXX_STANDARD} _libtorch_compiler_works)
if(NOT _libtorch_compiler_works)
    message(FATAL_ERROR
        "torchml: libtorch ${Libtorch_VERSION} needs a compiler for C++${Libtorch_CXX_STANDARD}; "
        "${CMAKE_CXX_COMPILER} (${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}) is too old. Install a "
        "newer one (gcc 11 or clang 14, for example with 'conda install -c conda-forge cxx-compiler') and name "
        "it: 'torchml-install driver --cxx PATH', or 'cmake -DKIM_API_CMAKE_CXX_COMPILER=PATH'. Or use torch "
        "2.7, for which C++17 suffices: pip install 'torch==2.7.*'.")
endif()

# Whether this torch can run compiled models: the interface was different in torch 2.5 and 2.6.
set(Libtorch_AOTINDUCTOR OFF)
set(_runner "${_include_dir}/torch/csrc/inductor/aoti_runner/model_container_runner.h")
if(EXISTS "${_runner}")
    file(STRINGS "${_runner}" _registry REGEX "getAOTIModelRunnerRegistry")
    file(STRINGS "${_runner}" _single_threaded REGEX "bool run_single_threaded")
    if(_registry AND _single_threaded)
        set(Libtorch_AOTINDUCTOR ON)
    endif()
endif()

add_library(libtorch::c10 SHARED IMPORTED)
set_target_properties(libtorch::c10 PROPERTIES IMPORTED_LOCATION "${_c10_library}")
add_library(libtorch::libtorch SHARED IMPORTED)
set_target_properties(libtorch::libtorch PROPERTIES
    IMPORTED_LOCATION "${_cpu_library}"
    INTERFACE_INCLUDE_DIRECTORIES "${_libtorch_includes}"
    INTERFACE_LINK_LIBRARIES libtorch::c10
    # A CUDA build's libtorch_cpu itself needs CUDA's runtime, which only its own run path finds.
    INTERFACE_LINK_OPTIONS "LINKER:--allow-shlib-undefined")

# Whether a source compiles with the flags and environment variables of the driver's own sources. The
# cached result holds for these flags and variables.
function(_libtorch_compiles source result)
    set(CMAKE_CXX_STANDARD ${Libtorch_CXX_STANDARD})
    set(CMAKE_CXX_STANDARD_REQUIRED ON)
    set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
    set(CMAKE_REQUIRED_LIBRARIES libtorch::libtorch)
    set(CMAKE_REQUIRED_QUIET ON)
    string(CONCAT key "${source}" "${CMAKE_CXX_COMPILER}" "${CMAKE_CXX_FLAGS}" "${Libtorch_ROOT}"
        "$ENV{CPATH};$ENV{CPLUS_INCLUDE_PATH}")
    string(MD5 key "${key}")
    include(CheckCXXSourceCompiles)
    check_cxx_source_compiles("${source}" "TORCHML_COMPILES_${key}")
    set(${result} "${TORCHML_COMPILES_${key}}" PARENT_SCOPE)
endfunction()

# Flags that give the standard library's classes another layout or other names than in torch and KIM:
# with them, the driver would link, after minutes, and could not be loaded.
set(_libtorch_old_abi "defined(_GLIBCXX_USE_CXX11_ABI) && !_GLIBCXX_USE_CXX11_ABI")
set(_libtorch_llvm "defined(_LIBCPP_VERSION)")
set(_libtorch_debug "defined(_GLIBCXX_DEBUG)")
set(_libtorch_standard_library "#include <string>
#if (${_libtorch_old_abi}) || ${_libtorch_llvm} || ${_libtorch_debug}
#error \"another standard library\"
#endif
")
# gcc and clang search the folders in CPATH before those of imported targets. They may contain either of
# torch's two folders of headers.
string(REGEX MATCH "^([0-9]+)[.]([0-9]+)" _libtorch_release "${Libtorch_VERSION}")
set(Libtorch_VERSION_MAJOR "${CMAKE_MATCH_1}")
set(Libtorch_VERSION_MINOR "${CMAKE_MATCH_2}")
set(_libtorch_other_version "#if TORCH_VERSION_MAJOR != ${Libtorch_VERSION_MAJOR} || \
TORCH_VERSION_MINOR != ${Libtorch_VERSION_MINOR}
#error \"another torch\"
#endif
")
set(_libtorch_headers "#if __has_include(<torch/csrc/api/include/torch/version.h>)
#include <torch/csrc/api/include/torch/version.h>
${_libtorch_other_version}#endif
#if __has_include(<torch/version.h>)
#include <torch/version.h>
${_libtorch_other_version}#endif
")
_libtorch_compiles("${_libtorch_standard_library}${_libtorch_headers}" _libtorch_as_configured)
if(NOT _libtorch_as_configured)
    _libtorch_compiles("#include <string>" _libtorch_compiler_works)
    set(_flags_of "CMAKE_CXX_FLAGS ('${CMAKE_CXX_FLAGS}')")
    if(NOT "$ENV{CXXFLAGS}" STREQUAL "")
        set(_flags_of "CXXFLAGS ('$ENV{CXXFLAGS}')")
    endif()
    _libtorch_compiles("${_libtorch_standard_library}" _libtorch_compiled)
    if(_libtorch_compiler_works AND NOT _libtorch_compiled)
        set(_meanings "the old C++ ABI" "LLVM's C++ library" "containers that check their use")
        foreach(_flag "_GLIBCXX_USE_CXX11_ABI=0" "-stdlib=libc++" "_GLIBCXX_DEBUG")
            list(POP_FRONT _meanings _meaning)
            string(FIND "${CMAKE_CXX_FLAGS}" "${_flag}" _found)
            if(NOT _found EQUAL -1)
                message(FATAL_ERROR
                    "torchml: ${_flag} in ${_flags_of} makes the compiler use ${_meaning}. libtorch "
                    "${Libtorch_VERSION} and KIM-API were compiled without it, so the driver could not be "
                    "loaded with them. Remove that flag; torch itself is fine.")
            endif()
        endforeach()
        message(FATAL_ERROR
            "torchml: ${CMAKE_CXX_COMPILER} uses another C++ standard library, or another layout of it, than "
            "libtorch ${Libtorch_VERSION} and KIM-API: the old C++ ABI (_GLIBCXX_USE_CXX11_ABI=0), LLVM's "
            "library or _GLIBCXX_DEBUG. Look for these in ${_flags_of} and in the "
            "compiler's own configuration, or use another compiler.")
    endif()
    _libtorch_compiles("${_libtorch_headers}" _libtorch_compiled)
    if(_libtorch_compiler_works AND NOT _libtorch_compiled)
        set(_origin "")
        foreach(_variable CPATH CPLUS_INCLUDE_PATH)
            string(REPLACE ":" ";" _folders "$ENV{${_variable}}")
            foreach(_folder IN LISTS _folders)
                foreach(_header ATen/ATen.h torch/version.h)
                    if(NOT _origin AND EXISTS "${_folder}/${_header}"
                            AND NOT "${_folder}" IN_LIST _libtorch_includes)
                        set(_origin "${_variable} leads to another torch's headers in ${_folder}. Unset "
                            "${_variable}, or remove that folder from it")
                        string(CONCAT _origin ${_origin})
                    endif()
                endforeach()
            endforeach()
        endforeach()
        if(NOT _origin AND "${CMAKE_CXX_FLAGS}" MATCHES "-I|-isystem|-include")
            set(_origin "${_flags_of} leads to other headers. Remove those folders from it")
        endif()
        if(NOT _origin)
            set(_origin "it finds none, or others. Look for torch's headers in the folders that CPATH, "
                "CPLUS_INCLUDE_PATH and CXXFLAGS name")
            string(CONCAT _origin ${_origin})
        endif()
        message(FATAL_ERROR
            "torchml: the compiler does not use the headers of libtorch ${Libtorch_VERSION} in "
            "${Libtorch_ROOT}: ${_origin}; or set TORCH_ROOT to the torch that you want.")
    endif()
endif()

message(STATUS "Found libtorch ${Libtorch_VERSION} in ${Libtorch_ROOT} (C++${Libtorch_CXX_STANDARD})")
