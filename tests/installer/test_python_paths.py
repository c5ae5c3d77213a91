"""Detectors run in threads: the folders of the active Python have to be right in each of them."""

from __future__ import annotations

import subprocess
import sys

#: In a new process, since sysconfig fills its table only once. Threads take turns at the first
#: question as often as Python allows, and the virtual environment's own rule is lifted.
ASKED_AT_ONCE = """
import site, sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from torchml_installer.detect import python_headers
from torchml_installer.detect.programs import python_program_folders
site.ENABLE_USER_SITE = True
sys.setswitchinterval(1e-6)
start = Barrier(8)
def ask(number):
    start.wait()
    return python_headers.detect() if number % 2 else python_program_folders()
with ThreadPoolExecutor(8) as pool:
    print(len({str(answer) for answer in pool.map(ask, range(8))}))
"""


def test_threads_that_ask_at_once_get_the_same_answers() -> None:
    for _ in range(5):
        command = [sys.executable, "-c", ASKED_AT_ONCE]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
