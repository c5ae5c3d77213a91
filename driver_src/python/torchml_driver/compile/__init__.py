"""Compiles a model with AOTInductor: what `torchml-install model compile` runs.

    python -m torchml_driver.compile --request FILE

Everything in this folder may import torch, of the release that the engine computes with; nothing
outside of it imports this folder.
"""
