"""What LeakSanitizer found, without what KIM-API itself leaves behind.

Where a model's routines fail, KIM-API 2.3 gives up its own objects half made (in
ModelImplementation::Create, for one). LeakSanitizer's own suppressions look for a
name anywhere in a stack, and everything of the driver's is made below KIM's routines.
"""

from __future__ import annotations

import re

_FRAME = re.compile(r"#\d+ 0x[0-9a-f]+ +(?:in )?(.*)")
#: In which every stack begins: the functions that allocate, tests/kim/faults' among them, and the
#: C++ library's.
_ALLOCATOR = re.compile(
    r"__interceptor_\w+ |allocate |operator new|(?:[\w*& ]+ )?(?:std|__gnu_cxx)::"
)


def leaks_of_ours(report: str) -> list[str]:
    """The blocks of a report that something else than KIM-API allocated, each with its stack.

    The report's stacks have to be whole (ASAN_OPTIONS=fast_unwind_on_malloc=0).
    """
    blocks = re.findall(r"^(?:Direct|Indirect) leak of .*\n(?:.*#\d.*\n)*", report, re.MULTILINE)
    return [block for block in blocks if not _is_kims(block)]


def _is_kims(block: str) -> bool:
    frames = (found[1] for found in map(_FRAME.search, block.splitlines()) if found)
    return "libkim-api.so" in next((one for one in frames if not _ALLOCATOR.match(one)), "")
