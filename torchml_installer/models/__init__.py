"""Portable models: folders that KIM installs, made from a TorchScript file."""
