# Finds libdescriptor's shared library. It is optional: the driver has its own descriptors, and
# opens this library at run time if KIM_MODEL_DESCRIPTOR_BACKEND=libdescriptor asks for it. Nothing
# is linked with it; the environment variable LIBDESCRIPTOR_ROOT can name another one at run time.
#
# Looks in LIBDESCRIPTOR_ROOT (variable, then environment) and nowhere else.
#
# Sets Libdescriptor_LIBRARY: the library's path, or "".

set(LIBDESCRIPTOR_ROOT "" CACHE PATH "libdescriptor: a folder with lib/libdescriptor.so")

set(_root "${LIBDESCRIPTOR_ROOT}")
if("${_root}" STREQUAL "")
    set(_root "$ENV{LIBDESCRIPTOR_ROOT}")
endif()
set(Libdescriptor_LIBRARY "")
if("${_root}" STREQUAL "")
    message(STATUS "libdescriptor: not asked for (LIBDESCRIPTOR_ROOT); our own descriptors are used")
else()
    unset(_libdescriptor CACHE)
    find_library(_libdescriptor NAMES descriptor PATHS "${_root}"
        PATH_SUFFIXES lib lib64 NO_DEFAULT_PATH)
    if(NOT _libdescriptor)
        message(FATAL_ERROR
            "torchml: LIBDESCRIPTOR_ROOT is ${_root}, which has no lib/libdescriptor.so. It is optional: "
            "'torchml-install deps --with libdescriptor' installs one; unset LIBDESCRIPTOR_ROOT "
            "to build without.")
    endif()
    set(Libdescriptor_LIBRARY "${_libdescriptor}")
    unset(_libdescriptor CACHE)
    message(STATUS "Found libdescriptor: ${Libdescriptor_LIBRARY}")
endif()
unset(_root)
