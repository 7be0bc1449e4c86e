"""Reading and writing whole files where others may have been before."""

import os
import stat
import zipfile

import pytest

from paring.errors import OutputError
from paring.files import check_archive, read_file, remove_leftovers, write_atomic

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


def test_what_is_written_is_read(tmp_path):
    for data in (b"", b"first", bytes(range(256)) * 4096):
        write_atomic(tmp_path / "a", data)
        assert read_file(tmp_path / "a") == data
    assert os.listdir(tmp_path) == ["a"]


def test_more_than_asked_is_not_read(tmp_path):
    write_atomic(tmp_path / "a", b"12345")
    assert read_file(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="5 bytes, at most 4"):
        read_file(tmp_path / "a", 4)


@needs_pipes
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_file(tmp_path / "pipe")
    with pytest.raises(OutputError, match="a device or a pipe"):
        write_atomic(tmp_path / "pipe", b"x")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this system has no /dev/zero")
def test_devices_are_neither_read_nor_replaced():
    with pytest.raises(OSError, match="not a regular file"):
        read_file("/dev/zero")
    with pytest.raises(OutputError, match="a device or a pipe"):
        write_atomic("/dev/null", b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path)
    with pytest.raises(OutputError, match="a folder"):
        write_atomic(tmp_path, b"x")


def test_planted_links_are_not_followed(tmp_path):
    """Neither at the file's own name nor at one that a writer might take meanwhile."""
    (tmp_path / "treasure").write_bytes(b"gold")
    for name in ("a", ".a.tmp", f".a.{os.getpid()}.tmp", ".a.part"):
        (tmp_path / name).symlink_to(tmp_path / "treasure")
    write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "treasure").read_bytes() == b"gold"
    assert (tmp_path / "a").read_bytes() == b"new"
    assert not (tmp_path / "a").is_symlink()


def test_rights_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_atomic(tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_the_check_refuses_is_not_put_in_place(tmp_path):
    write_atomic(tmp_path / "a", b"old")

    def check(path):
        assert path.read_bytes() == b"new"
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write_atomic(tmp_path / "a", b"new", check)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(OutputError, match=r"page cannot be written; found No such file.*Make the folder first"):
        write_atomic(tmp_path / "no" / "a", b"x", what="page")


def test_what_a_killed_write_left_can_be_removed(tmp_path):
    (tmp_path / ".a.json.ab_12XY9.part").write_bytes(b"half")
    for name in ("a.json", ".b.json.ab_12XY9.part", ".a.json.part", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    remove_leftovers(tmp_path, "a.*")
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", ".b.json.ab_12XY9.part", ".a.json.part", ".hidden"}
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", ".a.json.part", ".hidden"}


def test_an_archive_may_not_unpack_to_more_than_it_is(tmp_path):
    for name, method, passes in (("stored", zipfile.ZIP_STORED, True), ("bomb", zipfile.ZIP_DEFLATED, False)):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("data/0", bytes(1 << 20))
        if passes:
            check_archive(path)
            continue
        with pytest.raises(ValueError, match=f"archive of {path.stat().st_size:,} bytes .* unpack to 1,048,576"):
            check_archive(path)
    (tmp_path / "other").write_bytes(b"no archive")
    check_archive(tmp_path / "other")
