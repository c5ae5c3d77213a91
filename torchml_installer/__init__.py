"""Builds and installs the TorchML model driver for the KIM-API, and packs models for it."""

__version__ = "0.1.0"
