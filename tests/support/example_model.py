"""The models that most tests run, without imports of ASE or numpy."""

REFERENCE_MODEL = "SW_StillingerWeber_1985_Si__MO_405512056662_005"
EXAMPLE_MODEL = "TorchML_SW_Si__MO_000000000000_000"
CUTOFF = 3.77118  # Å, for both
