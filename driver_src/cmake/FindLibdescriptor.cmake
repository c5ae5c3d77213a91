# Finds libdescriptor's shared library. It is optional: the driver has its own descriptors, and
# opens this library at run time if KIM_MODEL_DESCRIPTOR_BACKEND=libdescriptor requests it. Nothing
# is linked with it; the environment variable LIBDESCRIPTOR_ROOT can name another one at run time.
#
# Looks only in LIBDESCRIPTOR_ROOT (variable, then environment).
#
# Sets Libdescriptor_LIBRARY: the library's path, or "".

set(LIBDESCRIPTOR_ROOT "" CACHE PATH "libdescriptor: a folder with lib/libdescriptor.so")

set(_root "${LIBDESCRIPTOR_ROOT}")
if("${_root}" STREQUAL "")
    set(_root "$ENV{LIBDESCRIPTOR_ROOT}")
endif()
set(Libdescriptor_LIBRARY "")
if("${_root}" STREQUAL "")
    message(STATUS "libdescriptor: not requested (LIBDESCRIPTOR_ROOT); using the driver's own descriptors")
else()
    unset(_libdescriptor CACHE)
    find_library(_libdescriptor NAMES descriptor PATHS "${_root}"
        PATH_SUFFIXES lib lib64 NO_DEFAULT_PATH)
    if(NOT _libdescriptor)
        message(FATAL_ERROR
            "torchml: LIBDESCRIPTOR_ROOT is ${_root}, which has no lib/libdescriptor.so. Install it with "
            "'torchml-install deps --with libdescriptor'; or unset LIBDESCRIPTOR_ROOT to build without it, "
            "as it is optional.")
    endif()
    set(Libdescriptor_LIBRARY "${_libdescriptor}")
    unset(_libdescriptor CACHE)
    message(STATUS "Found libdescriptor: ${Libdescriptor_LIBRARY}")
endif()
unset(_root)
