"""Child processes of the demo: readiness, failure, order of stopping. Real processes."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from server.demo.layout import Layout, Memory, choose_port, write_secret
from server.demo.processes import Child, ChildFailedError, Family

READY = 'print(\'{"ready": true, "control": "here"}\', flush=True); import signal; signal.pause()'


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_ready_line_is_returned(tmp_path: Path) -> None:
    family = Family(tmp_path)
    child = family.start("one", python(READY))

    assert child.wait_ready_line()["control"] == "here"

    family.stop()
    assert not child.running


def test_child_that_ends_is_named_with_its_log(tmp_path: Path) -> None:
    child = Child("broken", python("import sys; sys.exit('no such thing')"), tmp_path / "broken.log")
    child.start()

    with pytest.raises(ChildFailedError, match=r"broken ended with exit code 1; see .*broken\.log"):
        child.wait_ready_line()
    child.wait(5)
    assert "no such thing" in child.last_lines()


def test_last_started_is_stopped_first(tmp_path: Path) -> None:
    order = tmp_path / "order"
    code = (
        "import signal, sys\n"
        f"def end(*_): open({str(order)!r}, 'a').write(sys.argv[1]); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('{\"ready\": true}', flush=True)\n"
        "while True: signal.pause()\n"
    )
    family = Family(tmp_path)
    for name in "abc":
        family.start(name, [*python(code), name]).wait_ready_line()

    family.stop()

    assert order.read_text() == "cba"


def test_ended_child_is_noticed(tmp_path: Path) -> None:
    family = Family(tmp_path)
    stays = family.start("stays", python(READY))
    ends = family.start("ends", python("pass"))
    stays.wait_ready_line()
    ends.wait(10)

    assert family.ended() is ends

    family.stop()


def test_port_in_use_gives_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert choose_port(port) != port


def test_memory_survives_and_a_damaged_file_does_no_harm(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    memory = Memory(web_port=8123)
    password = memory.password("ingest")
    memory.write(layout)

    assert Memory.read(layout).password("ingest") == password
    assert layout.memory.stat().st_mode & 0o077 == 0

    layout.memory.write_text("{")
    assert Memory.read(layout).web_port == Memory().web_port


def test_secret_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = write_secret(tmp_path / "secrets" / "one", "word")

    assert path.read_text() == "word"
    assert path.stat().st_mode & 0o777 == 0o600
