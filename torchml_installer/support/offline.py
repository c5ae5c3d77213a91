"""Explains a missing network: what could not be fetched, from where, and how to do without."""

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
#: What pip prints when it may look into a folder only, and the folder lacks something.
_LACKING = re.compile(r"No matching distribution found for ([^\s;]+)")
_HOST = re.compile(r"(?:https?://|host='|[Rr]esolv(?:e|ing) '|connect to )([\w.-]+)")
_WITHOUT = {
    "pip": (
        "Without a network: run `python -m pip download -d DIR {packages}` on a similar machine "
        "that has one, with the same Python. Copy the folder here, and run this command again with "
        "PIP_NO_INDEX=1 PIP_FIND_LINKS=DIR set."
    ),
    "apt": (
        "Without a network: name a mirror that you can reach in /etc/apt/sources.list. Or run "
        "`apt-get install --download-only {packages}` on a machine with the same system, copy the "
        "packages here, and run `dpkg -i *.deb`."
    ),
    "conda": (
        "Without a network: name a mirror that you can reach (`conda config --add channels URL`), "
        "or copy an environment with {packages} here, packed with conda-pack."
    ),
}


def explain(error: TorchMLError, provider: str, packages: Sequence[str]) -> None:
    """Explains a failure if a missing network, or an incomplete folder in its place, caused it;
    leaves others unchanged.

    provider: whose command failed; packages: what it was to fetch.
    """
    title, _, rest = error.message.partition("\n")
    log = rest.rpartition("\n")[2]
    reason, lacking = _REASON.search(error.message), _LACKING.search(rest)
    if reason is None and not (lacking and provider == "pip" and os.environ.get("PIP_NO_INDEX")):
        return
    without = _WITHOUT[provider].format(packages=" ".join(packages))
    if reason is None:
        assert lacking is not None
        folder = os.environ.get("PIP_FIND_LINKS") or "any folder: PIP_FIND_LINKS is not set"
        error.message = f"{title}\n    there is no {lacking[1]} in {folder}\n{log}"
        error.remedy = without
        return
    hosts = dict.fromkeys(_HOST.findall(rest))
    where = ", ".join(hosts) or _index(provider)
    error.message = (
        f"{title}\n    cannot fetch {', '.join(packages)} from {where}: {reason[0]}\n{log}"
    )
    error.remedy = f"Check the network and its proxy (HTTPS_PROXY). {without}"


def _index(provider: str) -> str:
    """The package index, which pip does not print."""
    if provider != "pip":
        return "its servers"
    return os.environ.get("PIP_INDEX_URL") or "the index in pip's settings (else pypi.org)"
