"""Builds the driver and its Python module, checks them and installs them."""
