"""The chemical elements."""

from __future__ import annotations

_TABLE = """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br
    Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho
    Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es
    Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
#: All 118 symbols, in the order of the atomic number: SYMBOLS[0] is hydrogen.
SYMBOLS = tuple(_TABLE.split())

#: Names that people write instead of symbols, for suggestions in error messages.
_NAMES = {
    "hydrogen": "H",
    "carbon": "C",
    "nitrogen": "N",
    "oxygen": "O",
    "sodium": "Na",
    "aluminium": "Al",
    "aluminum": "Al",
    "silicon": "Si",
    "phosphorus": "P",
    "sulfur": "S",
    "sulphur": "S",
    "iron": "Fe",
    "copper": "Cu",
    "silver": "Ag",
    "tungsten": "W",
    "gold": "Au",
}


def suggestion(symbol: str) -> str | None:
    """The symbol that was probably meant, if any: ``"si"`` → ``"Si"``, ``"14"`` → ``"Si"``."""
    if symbol.isascii() and symbol.isdigit() and 1 <= int(symbol) <= len(SYMBOLS):
        return SYMBOLS[int(symbol) - 1]
    if symbol.lower() in _NAMES:
        return _NAMES[symbol.lower()]
    capitalised = symbol.capitalize()
    return capitalised if capitalised in SYMBOLS else None
