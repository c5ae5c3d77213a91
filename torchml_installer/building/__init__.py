"""Runs CMake and the build tool, and watches them."""
