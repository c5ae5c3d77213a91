"""Where `--html` writes, and where it refuses to before a model is run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from torchml_installer.errors import DiskFullError, NotPermittedError, OutputExistsError
from torchml_installer.models.report import place_for

PAGE = "<!DOCTYPE html>\n<p>Å</p>\n"


def write(path: Path, text: str = PAGE) -> None:
    with place_for(path) as put:
        put(text)


@pytest.mark.parametrize("before", [None, "", PAGE.replace("Å", "older")])
def test_a_report_is_written_whole_and_takes_the_place_of_an_older_one(
    before: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    if before is not None:
        path.write_text(before)
    write(path)
    assert path.read_text(encoding="utf-8") == PAGE
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_link_stays_and_leads_to_the_new_report(tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to("report.html")
    write(tmp_path / "link.html")
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == PAGE


def test_a_failure_in_between_leaves_the_older_report(tmp_path: Path) -> None:
    write(tmp_path / "report.html")
    with pytest.raises(RuntimeError), place_for(tmp_path / "report.html"):
        raise RuntimeError
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == PAGE
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("name", "failure", "words"),
    [
        ("folder", OutputExistsError, "is a folder"),
        ("model.pt", OutputExistsError, "is not an HTML page"),
        ("missing/report.html", NotPermittedError, "missing does not exist"),
        ("model.pt/report.html", NotPermittedError, "Not a directory"),
    ],
)
def test_places_where_no_report_belongs_are_refused_before_the_work(
    name: str, failure: type[Exception], words: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "model.pt").write_bytes(b"PK\3\4")
    with pytest.raises(failure, match=words), place_for(tmp_path / name):
        pytest.fail("the work has begun")
    assert (tmp_path / "model.pt").read_bytes() == b"PK\3\4"


def test_a_folder_that_nobody_can_write_to_is_refused_before_the_work() -> None:
    with pytest.raises(NotPermittedError, match="Cannot write"), place_for(Path("/proc/a.html")):
        pytest.fail("the work has begun")


def test_a_full_disk_is_explained() -> None:
    with pytest.raises(DiskFullError, match="Cannot write /dev/full"):
        write(Path("/dev/full"))


def test_a_device_is_written_to() -> None:
    write(Path("/dev/null"))
