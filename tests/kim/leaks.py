"""LeakSanitizer's findings without KIM-API's own leaks.

If a model's routine fails, KIM-API 2.3 leaks half-made objects (for example in
ModelImplementation::Create). LeakSanitizer's suppressions match a name anywhere in a stack, and
KIM's routines are in every stack of the driver.
"""

from __future__ import annotations

import re

_FRAME = re.compile(r"#\d+ 0x[0-9a-f]+ +(?:in )?(.*)")
#: The functions in which every stack begins: those that allocate, including tests/kim/faults' and
#: the C++ library's.
_ALLOCATOR = re.compile(
    r"__interceptor_\w+ |allocate |operator new|(?:[\w*& ]+ )?(?:std|__gnu_cxx)::"
)


def leaks_of_ours(report: str) -> list[str]:
    """The blocks in a report that KIM-API did not allocate, each with its stack.

    The report's stacks must be complete (ASAN_OPTIONS=fast_unwind_on_malloc=0).
    """
    blocks = re.findall(r"^(?:Direct|Indirect) leak of .*\n(?:.*#\d.*\n)*", report, re.MULTILINE)
    return [block for block in blocks if not _is_kims(block)]


def _is_kims(block: str) -> bool:
    frames = (found[1] for found in map(_FRAME.search, block.splitlines()) if found)
    return "libkim-api.so" in next((one for one in frames if not _ALLOCATOR.match(one)), "")
