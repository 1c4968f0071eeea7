"""Text of Mosquitto's files. The password vector was made with `mosquitto_passwd` 2.0.11 (password `secret`)."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gateway.contract import MAX_PAYLOAD_BYTES
from server.broker import (
    BrokerError,
    BrokerFiles,
    Listener,
    access_file_text,
    configuration_text,
    password_file_text,
    password_hash,
    set_passwords,
    write_files,
)

VECTOR = (
    "$7$101$ZFHYhGZplOolkfFW$hSscKhzSS7LnxSlSJ/H+afl+DRry27Q1Tt8hFBn44eaee2lRIqfZJ/DT4IVAzhMaES4rOYb7SPqrQ0hIabAWIg=="
)


def test_password_hash_equals_the_one_of_mosquittos_own_tool() -> None:
    salt = base64.b64decode(VECTOR.split("$")[3])

    assert password_hash("secret", salt) == VECTOR


def test_password_file_holds_no_password_and_a_fresh_salt_each_time() -> None:
    first, second = password_file_text({"ingest": "hush"}), password_file_text({"ingest": "hush"})

    assert first.startswith("ingest:$7$101$")
    assert "hush" not in first
    assert first != second


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "vw/x", "a+", "a#"])
def test_user_names_that_would_change_the_rules_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a broker user"):
        password_file_text({name: "x"})


def test_gateways_reach_their_own_topics_and_ingest_all() -> None:
    assert [line for line in access_file_text().splitlines() if line] == [
        "user ingest",
        "topic read vw/1/gw/+/up/#",
        "topic write vw/1/gw/+/down/#",
        "pattern write vw/1/gw/%u/up/#",
        "pattern read vw/1/gw/%u/down/#",
    ]


def test_configuration_bounds_packets_and_queues_and_lets_nobody_in_unasked(tmp_path: Path) -> None:
    lines = configuration_text(BrokerFiles(tmp_path), Listener(port=18830)).splitlines()
    options = dict(line.split(" ", 1) for line in lines)

    assert options["allow_anonymous"] == "false"
    assert int(options["max_packet_size"]) > MAX_PAYLOAD_BYTES + 1
    assert options["max_queued_messages"] == "0"
    assert int(options["max_queued_bytes"]) > 0
    assert options["listener"] == "18830 127.0.0.1"


def test_tls_listener_asks_for_certificates(tmp_path: Path) -> None:
    listener = Listener(
        host="0.0.0.0", port=8883, certificate=Path("/c.pem"), key=Path("/k.pem"), client_ca=Path("/ca.pem")
    )

    lines = configuration_text(BrokerFiles(tmp_path), listener).splitlines()

    assert {
        "certfile /c.pem",
        "keyfile /k.pem",
        "cafile /ca.pem",
        "tls_version tlsv1.2",
        "require_certificate true",
        "use_identity_as_username true",
    } <= set(lines)


def test_open_broker_is_refused_beyond_loopback(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="loopback only"):
        write_files(BrokerFiles(tmp_path), Listener(host="0.0.0.0"), None)


def test_setting_a_password_keeps_the_others_and_the_file_private(tmp_path: Path) -> None:
    files = BrokerFiles(tmp_path)

    set_passwords(files, {"one": "a", "two": "b"})
    before = files.passwords.read_text(encoding="utf-8").splitlines()
    set_passwords(files, {"two": "c"})
    after = files.passwords.read_text(encoding="utf-8").splitlines()

    assert before[0] == after[0]
    assert before[1] != after[1]
    assert [line.split(":")[0] for line in after] == ["one", "two"]
    assert files.passwords.stat().st_mode & 0o077 == 0
