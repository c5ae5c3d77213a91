"""Explains a missing network: what was to be fetched, from where, and how to do without."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from torchml_installer.errors import TorchMLError

#: What pip, apt, conda and similar tools print when they cannot reach a server.
_REASON = re.compile(
    r"Temporary failure (?:in name resolution|resolving)|Name or service not known"
    r"|Network is unreachable|No route to host|Connection (?:refused|timed out|reset)"
    r"|Failed to establish a new connection|Could not (?:resolve|connect to)|Max retries exceeded"
    r"|Cannot connect to proxy|CondaHTTPError|[Dd]ns error|error sending request|Read timed out"
)
_HOST = re.compile(r"(?:https?://|host='|[Rr]esolv(?:e|ing) '|connect to )([\w.-]+)")
_WITHOUT = {
    "pip": (
        "Without a network: on a machine that has one, of the same kind and with the same Python, "
        "`python -m pip download -d DIR {packages}`; bring the folder here, and run this again "
        "with PIP_NO_INDEX=1 PIP_FIND_LINKS=DIR set."
    ),
    "apt": (
        "Without a network: name a mirror that can be reached in /etc/apt/sources.list, or bring "
        "the packages here: `apt-get install --download-only {packages}` on a machine with the "
        "same system, and here `dpkg -i *.deb`."
    ),
    "conda": (
        "Without a network: name a mirror that can be reached (`conda config --add channels URL`), "
        "or bring an environment here with conda-pack, with {packages} in it."
    ),
}


def explain(error: TorchMLError, provider: str, packages: Sequence[str]) -> None:
    """Explains a failure that is due to a missing network; returns others unchanged.

    provider: whose command failed; packages: those it was to fetch.
    """
    reason = _REASON.search(error.message)
    if reason is None:
        return
    title, _, rest = error.message.partition("\n")
    hosts = dict.fromkeys(_HOST.findall(rest))
    where = ", ".join(hosts) or _index(provider)
    log = rest.rpartition("\n")[2]
    error.message = (
        f"{title}\n    {', '.join(packages)} cannot be fetched from {where}: {reason[0]}\n{log}"
    )
    error.remedy = "Check the network and its proxy (HTTPS_PROXY). " + _WITHOUT[provider].format(
        packages=" ".join(packages)
    )


def _index(provider: str) -> str:
    """The index that pip uses, which pip itself does not print."""
    if provider != "pip":
        return "its servers"
    return os.environ.get("PIP_INDEX_URL") or "the index in pip's settings (else pypi.org)"
