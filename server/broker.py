"""Mosquitto for this system: its configuration, password file, access rules, and a supervised child process.

Input: a folder, credentials and listener settings. Output: the three files as text, and a broker that runs on them.
A gateway's credentials let it write below its own `up/` and read below its own `down/`, nothing else. Passwords are
hashed here, in Mosquitto's own `$7$` form, so that no secret ever stands on a command line.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from gateway.contract import GATEWAY_ID, MAX_PAYLOAD_BYTES, TOPIC_ROOT

INGEST_USER: Final = "ingest"
# Room for topic, packet header and MQTT 5 properties above the largest payload: a payload one byte too long must
# still reach the server, which keeps it as a dead letter; anything far longer is cut off by the broker.
MAX_PACKET_BYTES: Final = MAX_PAYLOAD_BYTES + 4096
# Mosquitto's own number of rounds. Our passwords are random 192-bit words: more rounds would only slow every CONNECT.
_PBKDF2_ROUNDS: Final = 101
_START_SECONDS: Final = 10.0


class BrokerError(RuntimeError):
    """The broker cannot be had or does not start; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where the broker listens. With `certificate` and `key` it speaks TLS only; with `client_ca` a gateway must show
    a certificate, whose common name is then its user name."""

    host: str = "127.0.0.1"
    port: int = 1883
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    user_name_is_client_id: bool = False

    @property
    def on_loopback(self) -> bool:
        return self.host in {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """The files of one broker, all in one folder that only its user can read."""

    folder: Path

    @property
    def configuration(self) -> Path:
        return self.folder / "mosquitto.conf"

    @property
    def passwords(self) -> Path:
        return self.folder / "passwords"

    @property
    def access(self) -> Path:
        return self.folder / "access"

    @property
    def pid(self) -> Path:
        return self.folder / "mosquitto.pid"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def log(self) -> Path:
        return self.folder / "mosquitto.log"

    @property
    def is_running(self) -> bool:
        """Whether the broker of this folder runs now."""
        try:
            os.kill(int(self.pid.read_text(encoding="utf-8")), 0)
        except (OSError, ValueError):
            return False
        return True


def new_password() -> str:
    """192 random bits."""
    return secrets.token_urlsafe(24)


def password_hash(password: str, salt: bytes | None = None) -> str:
    """PBKDF2-SHA512 in the form Mosquitto 2 reads: `$7$rounds$salt$hash`."""
    used = os.urandom(12) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), used, _PBKDF2_ROUNDS, 64)
    return f"$7${_PBKDF2_ROUNDS}${base64.b64encode(used).decode()}${base64.b64encode(digest).decode()}"


def password_file_text(passwords: Mapping[str, str]) -> str:
    """User name → password, hashed, one line a user."""
    for user in passwords:
        if not user or set(user) & set(":\n+#/"):
            raise ValueError(f"{user!r} cannot be a broker user: no ':', '+', '#', '/' or line break")
    return "".join(f"{user}:{password_hash(password)}\n" for user, password in sorted(passwords.items()))


def access_file_text(ingest_user: str = INGEST_USER) -> str:
    """Who may read and write what. The patterns hold for every user, by the name it logged in with."""
    return (
        f"user {ingest_user}\n"
        f"topic read {TOPIC_ROOT}/+/up/#\n"
        f"topic write {TOPIC_ROOT}/+/down/#\n"
        "\n"
        f"pattern write {TOPIC_ROOT}/%u/up/#\n"
        f"pattern read {TOPIC_ROOT}/%u/down/#\n"
    )


def configuration_text(
    files: BrokerFiles, listener: Listener, *, anonymous: bool = False, persistent: bool = True
) -> str:
    """mosquitto.conf. The queue bound is in bytes: a bound in messages silently drops acknowledged readings."""
    lines = [
        f"user {pwd.getpwuid(os.geteuid()).pw_name}",
        f"pid_file {files.pid}",
        f"log_dest file {files.log}",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "connection_messages false",
        "set_tcp_nodelay true",
        f"allow_anonymous {_word(anonymous)}",
        *([] if anonymous else [f"password_file {files.passwords}", f"acl_file {files.access}"]),
        f"max_packet_size {MAX_PACKET_BYTES}",
        "max_inflight_messages 1000",
        "max_queued_messages 0",
        f"max_queued_bytes {512 * 1024 * 1024}",
        "queue_qos0_messages false",
        "persistent_client_expiration 14d",
        f"persistence {_word(persistent)}",
        *([f"persistence_location {files.store}/"] if persistent else []),
        f"listener {listener.port} {listener.host}",
        *_tls_lines(listener),
        *(["use_username_as_clientid true"] if listener.user_name_is_client_id else []),
    ]
    return "\n".join(lines) + "\n"


def write_files(
    files: BrokerFiles,
    listener: Listener,
    passwords: Mapping[str, str] | None,
    *,
    access: str | None = None,
    persistent: bool = True,
) -> None:
    """Write all files of a broker; users that are already there keep their passwords. None lets everybody in."""
    if passwords is None and not listener.on_loopback:
        raise BrokerError("a broker without passwords may listen on loopback only")
    files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.store.mkdir(exist_ok=True, mode=0o700)
    text = configuration_text(files, listener, anonymous=passwords is None, persistent=persistent)
    write_private(files.configuration, text)
    if passwords is not None:
        set_passwords(files, passwords)
        write_private(files.access, access or access_file_text())


def hand_over(files: BrokerFiles, *, uid: int, gid: int) -> None:
    """Give the files to the user the broker runs as, where that is somebody else."""
    for path in (files.folder, *files.folder.rglob("*")):
        os.chown(path, uid, gid)


def _tls_lines(listener: Listener) -> list[str]:
    if listener.certificate is None or listener.key is None:
        return []
    lines = [f"certfile {listener.certificate}", f"keyfile {listener.key}", "tls_version tlsv1.2"]
    if listener.client_ca is not None:
        lines += [f"cafile {listener.client_ca}", "require_certificate true", "use_identity_as_username true"]
    return lines


def _word(value: bool) -> Literal["true", "false"]:
    return "true" if value else "false"


# --- credentials of a broker that may be running ------------------------------------------------------------------


def set_passwords(files: BrokerFiles, passwords: Mapping[str, str]) -> None:
    """Add or replace users and let a running broker read them at once. Two processes may do so at the same time."""
    added = password_file_text(passwords)
    with _locked(files.folder / ".passwords.lock"):
        present = files.passwords.read_text(encoding="utf-8") if files.passwords.exists() else ""
        kept = [line for line in present.splitlines(keepends=True) if line.split(":", 1)[0] not in passwords]
        write_private(files.passwords, "".join(kept) + added)
    reload(files)


def remove_user(files: BrokerFiles, user: str) -> None:
    """A revoked gateway cannot log in again. Its running session ends when the broker restarts or it reconnects."""
    with _locked(files.folder / ".passwords.lock"):
        present = files.passwords.read_text(encoding="utf-8") if files.passwords.exists() else ""
        kept = [line for line in present.splitlines(keepends=True) if line.split(":", 1)[0] != user]
        write_private(files.passwords, "".join(kept))
    reload(files)


def reload(files: BrokerFiles) -> bool:
    """Tell the running broker to read its password and access files again. False when none runs."""
    try:
        os.kill(int(files.pid.read_text(encoding="utf-8")), signal.SIGHUP)
    except (OSError, ValueError):
        return False
    return True


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; readable by its owner only."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- the child process --------------------------------------------------------------------------------------------


def mosquitto_path() -> str | None:
    """Where the broker's program is; Debian keeps daemons out of an ordinary user's PATH."""
    search = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"))
    return shutil.which("mosquitto", path=search)


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


class MosquittoChild:
    """A Mosquitto of our own. Starting it again keeps its port, its users and, if persistent, its store."""

    def __init__(
        self,
        folder: Path,
        *,
        listener: Listener | None = None,
        passwords: Mapping[str, str] | None = None,
        access: str | None = None,
        persistent: bool = True,
    ) -> None:
        """`passwords` None lets everybody in: for tests on loopback only."""
        self.files = BrokerFiles(folder.resolve())
        self.listener = listener or Listener(port=free_port())
        self.process: subprocess.Popen[bytes] | None = None
        write_files(self.files, self.listener, passwords, access=access, persistent=persistent)

    @property
    def host(self) -> str:
        return self.listener.host

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def url(self) -> str:
        return f"{'mqtts' if self.listener.certificate else 'mqtt'}://{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        return self.files.log

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    def start(self) -> None:
        """Returns when the broker accepts connections. Raises `BrokerError` with the last line of its log."""
        program = mosquitto_path()
        if program is None:
            raise BrokerError("mosquitto is missing: sudo apt-get install -y mosquitto (macOS: brew install mosquitto)")
        self.process = subprocess.Popen(
            [program, "-c", str(self.files.configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BrokerError(f"mosquitto did not start on port {self.port}: {self._last_log_line()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return self.process is not None and self.process.poll() is None

    def _last_log_line(self) -> str:
        try:
            return self.files.log.read_text(encoding="utf-8", errors="replace").splitlines()[-1]
        except (OSError, IndexError):
            return f"see {self.files.log}"

    def add_gateway(self, gateway_id: str, password: str) -> None:
        """Let one gateway in, while the broker runs."""
        if not GATEWAY_ID.fullmatch(gateway_id):
            raise ValueError(f"{gateway_id!r} is not a gateway id")
        set_passwords(self.files, {gateway_id: password})

    def stop(self, timeout: float = 10.0) -> None:
        """End it cleanly: a persistent broker saves its store."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """As a power cut would: nothing is saved."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
