"""A data directory that somebody else can write to, or has written to, is refused before anything in it is read."""

from __future__ import annotations

import json
import os
import pwd
import stat
from pathlib import Path

import pytest

from api.embedded.directory import DataDirectory
from api.embedded.errors import DirectoryError
from api.embedded.ownership import Entry, fault_of_directory, fault_of_part
from tests.support.service import ServiceProcess

NOBODY = pwd.getpwnam("nobody").pw_uid
ME = os.geteuid()
MY_NAME = pwd.getpwuid(ME).pw_name
needs_root = pytest.mark.skipif(ME != 0, reason="only root can give a file to somebody else")
DIRECTORY, FILE = stat.S_IFDIR, stat.S_IFREG


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A data directory as a service has left it, with an attempt in it."""
    path = tmp_path / "data"
    with DataDirectory(path) as data:
        data.signing_keys_file()
        data.owner()
        (data.valkey / "appendonlydir").mkdir()
        for name in ("valkey.lock", "valkey.log", "appendonlydir/a.incr.aof"):
            (data.valkey / name).write_text("")
        (data.attempts / "1-1" / "work").mkdir(parents=True)
        (data.attempts / "1-1" / "lock").write_text("")
        (data.attempts / "1-1" / "work" / "link").symlink_to("/etc/passwd")
        (data.attempts / "1-1" / "work").chmod(0o777)
    return path


PARTS = (
    *(".", "service.lock", "signing-keys", "owner", "valkey", "valkey/valkey.lock", "valkey/appendonlydir"),
    *("valkey/appendonlydir/a.incr.aof", "attempts", "attempts/1-1", "attempts/1-1/lock"),
)


def refusal(path: Path) -> str:
    with pytest.raises(DirectoryError) as error, DataDirectory(path):
        pass
    return str(error.value)


def test_what_a_service_has_left_is_used_again(used: Path) -> None:
    with DataDirectory(used):
        pass


@needs_root
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_another_user_is_refused(used: Path, part: str) -> None:
    os.chown(used / part, NOBODY, -1)
    message = refusal(used)
    assert f"{used / part} (" in message
    assert f"owner nobody) belongs to nobody, and this process is {MY_NAME}'s" in message
    assert f"chown -R {MY_NAME} {used / part}" in message
    assert "TASKPOST_DATA_DIR" in message


@pytest.mark.parametrize("mode", [0o020, 0o002])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_others_can_write_to_is_refused(used: Path, part: str, mode: int) -> None:
    for directory in (".", "valkey", "valkey/appendonlydir", "attempts", "attempts/1-1"):
        (used / directory).chmod(0o755)
    (used / part).chmod((used / part).stat().st_mode | mode)
    message = refusal(used)
    assert f"others can write to {used / part} (" in message
    assert f"chmod go-w {used / part}" in message


@pytest.mark.parametrize("part", PARTS[1:])
def test_a_symbolic_link_is_refused(used: Path, part: str, tmp_path: Path) -> None:
    (used / part).rename(tmp_path / "elsewhere")
    (used / part).symlink_to(tmp_path / "elsewhere")
    assert f"{used / part} is a symbolic link" in refusal(used)


def test_a_pipe_in_place_of_a_file_is_refused(used: Path) -> None:
    (used / "service.lock").unlink()
    os.mkfifo(used / "service.lock")
    assert "neither a file nor a directory" in refusal(used)


def test_files_that_a_lax_umask_left_are_closed_where_nobody_could_get_at_them(used: Path) -> None:
    written = used / "valkey" / "appendonlydir" / "a.incr.aof"
    written.chmod(0o664)
    with DataDirectory(used):
        assert written.stat().st_mode & 0o777 == 0o644


def test_a_parent_whose_contents_everybody_can_replace_is_refused(used: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert f"everybody can replace what is in {tmp_path} (" in refusal(used)
    tmp_path.chmod(0o1777)
    with DataDirectory(used):
        pass


@needs_root
def test_a_link_to_the_directory_is_followed_if_it_is_ours(used: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(used)
    with DataDirectory(link) as data:
        assert data.path == used
    os.chown(link, NOBODY, -1, follow_symlinks=False)
    assert "a symbolic link that another user has made" in refusal(link)


@needs_root
def test_nothing_is_read_of_a_directory_with_planted_keys_and_process_ids(tmp_path: Path) -> None:
    """The service ends with a message, and the process whose id was planted lives."""
    path = tmp_path / "data"
    (path / "valkey").mkdir(parents=True)
    (path / "signing-keys").write_text("whsec_planted")
    (path / "valkey" / "valkey.lock").write_text(json.dumps({"pid": os.getpid(), "started": "x"}))
    for each in (path, *path.rglob("*")):
        os.chown(each, NOBODY, -1)
    service = ServiceProcess(path)
    with pytest.raises(AssertionError, match="belongs to nobody"):
        service.start()
    assert service.process.wait(20) == 1
    assert "Traceback" not in service.log()
    assert not (path / "service.lock").exists()
    service.stop()


USER = 1000


@pytest.mark.parametrize(
    ("mode", "owner", "is_mount", "accepted"),
    [
        (0o700, USER, False, True),
        (0o755, USER, False, True),
        (0o775, USER, False, False),
        (0o1777, USER, False, False),
        (0o755, 0, False, True),
        (0o1777, 0, False, True),  # /data in our images
        (0o777, 0, True, True),  # an emptyDir
        (0o2775, 0, True, True),  # a volume with fsGroup
        (0o777, 0, False, False),
        (0o777, USER, True, False),
        (0o700, 2000, False, False),
        (0o700, 2000, True, False),
    ],
)
def test_which_directories_are_accepted(
    tmp_path: Path,
    mode: int,
    owner: int,
    *,
    is_mount: bool,
    accepted: bool,
) -> None:
    entry = Entry(tmp_path, DIRECTORY | mode, owner, is_mount)
    assert (fault_of_directory(entry, USER) is None) == accepted


def test_root_is_no_owner_of_a_part(tmp_path: Path) -> None:
    """A user who planted it in an open directory of root may have linked it to a file of root."""
    assert fault_of_part(Entry(tmp_path, FILE | 0o600, 0), USER)
    assert fault_of_part(Entry(tmp_path, FILE | 0o600, USER), USER) is None
    assert fault_of_part(Entry(tmp_path, FILE | 0o600, USER), 0), "and root uses nothing of a user's"


def test_a_name_that_is_none_is_told_of(used: Path) -> None:
    (used / "owner").write_bytes(b"\xff\xfe")
    with DataDirectory(used) as data, pytest.raises(DirectoryError, match=r"owner holds .*Remove it"):
        data.owner()


def test_a_loop_of_links_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be the data directory" in refusal(tmp_path / "loop")


def test_a_home_of_an_unknown_user_is_told_of() -> None:
    assert "cannot be the data directory" in refusal(Path("~no-such-user-here/data"))
