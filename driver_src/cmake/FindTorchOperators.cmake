# Finds the original torch_scatter and torch_sparse, as their own CMake builds install them for C++.
# They are optional: the driver has its own operators, and opens these libraries at run time if
# KIM_MODEL_OPERATORS=extension requests them.
#
# Looks only in TorchScatter_ROOT and TorchSparse_ROOT (variable, then environment).
#
# Sets TorchScatter_LIBRARY and TorchSparse_LIBRARY: the libraries' paths, or "".

set(TorchScatter_ROOT "" CACHE PATH "torch_scatter for C++: a folder with lib/libtorchscatter.so")
set(TorchSparse_ROOT "" CACHE PATH "torch_sparse for C++: a folder with lib/libtorchsparse.so")

function(_torchml_find_operators package library)
    set(root "${${package}_ROOT}")
    if("${root}" STREQUAL "")
        set(root "$ENV{${package}_ROOT}")
    endif()
    set(found "")
    if("${root}" STREQUAL "")
        message(STATUS "${package}: not requested (${package}_ROOT); using the driver's own operators")
    else()
        unset(_operators CACHE)
        find_library(_operators NAMES "${library}" PATHS "${root}"
            PATH_SUFFIXES lib lib64 "lib/${CMAKE_LIBRARY_ARCHITECTURE}" NO_DEFAULT_PATH)
        if(NOT _operators)
            message(FATAL_ERROR
                "torchml: ${package}_ROOT is ${root}, which has no lib/lib${library}.so. Set it to an "
                "installation for C++, made by the library's own CMake build, which the Python package does "
                "not include; or unset it to build without, as the library is optional.")
        endif()
        set(found "${_operators}")
        unset(_operators CACHE)
        message(STATUS "Found ${package}: ${found}")
    endif()
    set(${package}_LIBRARY "${found}" PARENT_SCOPE)
endfunction()

_torchml_find_operators(TorchScatter torchscatter)
_torchml_find_operators(TorchSparse torchsparse)
