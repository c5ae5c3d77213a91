# Checks that the pybind11 found supports this Python and its NumPy, according to its release notes. A
# version that is too old may compile, and then crash the interpreter on import. Virtual environments
# that see the system's packages (--system-site-packages) find the system's pybind11.
#
# torchml_installer/detect/python_packages.py has the same numbers; a test compares them.

set(_pybind11_least 2.7)  # pybind11/stl/filesystem.h
set(_pybind11_for "the Python module torchml_driver")
execute_process(
    COMMAND "${Python_EXECUTABLE}" -c "import importlib.metadata as m; print(m.version('numpy'))"
    OUTPUT_VARIABLE _pybind11_numpy OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE _failed)
if(_failed)
    set(_pybind11_numpy 2)  # the version that pip would install
endif()
foreach(_entry
        "Python;3.12;${Python_VERSION};2.11"
        "NumPy;2;${_pybind11_numpy};2.12"
        "Python;3.13;${Python_VERSION};2.13"
        "Python;3.14;${Python_VERSION};3.0")
    list(GET _entry 0 _what)
    list(GET _entry 1 _since)
    list(GET _entry 2 _here)
    list(GET _entry 3 _knows)
    if("${_here}" VERSION_GREATER_EQUAL "${_since}")
        set(_pybind11_least "${_knows}")
        set(_pybind11_for "${_what} ${_here}")
    endif()
endforeach()
if("${pybind11_VERSION}" VERSION_LESS "${_pybind11_least}")
    message(FATAL_ERROR
        "torchml: the pybind11 in ${pybind11_DIR} is ${pybind11_VERSION}, but ${_pybind11_for} needs "
        "${_pybind11_least} or newer. Install it ('${Python_EXECUTABLE} -m pip install "
        "\"pybind11>=${_pybind11_least}\"'), or build without the module: -DTORCHML_PYTHON=OFF.")
endif()
