"""Compiles a model with AOTInductor: what `model compile` runs in a process of its own.

    python -m torchml_installer.models.aot REQUEST.json

Everything in this folder may import torch; nothing outside of it imports this folder.
"""
