"""Runs CMake and the build tool, and watches over them."""
