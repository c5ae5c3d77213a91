"""Compiles a model with AOTInductor. `torchml-install model compile` runs this.

    python -m torchml_driver.compile --request FILE

Modules in this folder may import torch, in the release that the engine computes with; no module
outside imports this folder.
"""
