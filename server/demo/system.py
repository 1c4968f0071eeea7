"""The whole system on one machine: database, broker, server processes, and simulated homes with a radio of their own.

Input: a layout and the specification of the homes. Output: running processes and where to find them. Every part is the
production part; only the cuffs and meters, and the air between them and the gateways, are simulated.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import psycopg

from server import clock
from server.broker import INGEST_USER, BrokerFiles, Listener, MosquittoChild, mosquitto_path, set_passwords
from server.broker_nats import NatsChild
from server.db.embedded import start_embedded, stop_embedded
from server.db.migrate import migrate
from server.db.pool import connect, require_durable
from server.demo.layout import Layout, Memory, choose_port, write_secret
from server.demo.processes import Child, Family
from server.demo.seed import DemoDevice, DemoHome, DemoLogin, SeedResult, seed

OBSERVER_USER: Final = "observer"
# Long enough to watch one reading travel, short enough that a visitor sees the next.
_MEASURE_EVERY_SECONDS: Final = 75
_VITALWIRE: Final = (sys.executable, "-m", "server.cli")


class DemoSystem:
    """Starts everything in order and stops it in reverse. `say` gets one line for each step."""

    def __init__(self, layout: Layout, say: Callable[[str], None], *, database_url: str | None = None) -> None:
        self.layout = layout
        self.say = say
        self.given_database = database_url
        self.memory = Memory.read(layout)
        self.family = Family(layout.logs)
        self.broker: MosquittoChild | NatsChild | None = None
        self.dsn = ""
        self.seeded: SeedResult | None = None
        self.attached = False
        self._controls: dict[str, str] = {}

    # --- start ----------------------------------------------------------------------------------------------------

    def start(self, *, measure_every: int | None = _MEASURE_EVERY_SECONDS) -> None:
        """Everything, in order. On failure, stop what was started and raise with the name of a log file."""
        self.layout.root.mkdir(parents=True, exist_ok=True)
        try:
            self._start_database()
            self._start_broker()
            self._start_server()
            self._start_homes(measure_every)
        except BaseException:
            self.stop()
            raise

    def start_server(self) -> None:
        """Database, broker and server processes without any home, for those who bring their own."""
        self.layout.root.mkdir(parents=True, exist_ok=True)
        try:
            self._start_database()
            self._start_broker()
            self._start_server()
        except BaseException:
            self.stop()
            raise

    def attach(self) -> bool:
        """Use the demo that already runs in this folder. False when none does; `stop` then leaves it alone."""
        files = BrokerFiles(self.layout.broker)
        if not files.is_running or not (self.layout.postgres / "postmaster.pid").exists():
            return False
        self.attached = True
        self.dsn = self.given_database or start_embedded(self.layout.postgres)
        with connect(self.dsn) as conn:
            self.seeded = seed(conn, now=clock.now())
        return True

    def admit(self, users: Iterable[str]) -> None:
        """Let more gateways in at the running broker."""
        passwords = {user: self.memory.password(user) for user in users}
        if isinstance(self.broker, NatsChild):
            self.broker.admit(passwords)
        else:
            set_passwords(BrokerFiles(self.layout.broker), passwords)
        self.memory.write(self.layout)

    def _start_database(self) -> None:
        if self.given_database:
            self.say("database: the one DATABASE_URL names")
            self.dsn = self.given_database
        else:
            self.say("database: embedded PostgreSQL")
            self.dsn = start_embedded(self.layout.postgres)
        migrate(self.dsn)
        with connect(self.dsn) as conn:
            require_durable(conn)
            self.seeded = seed(conn, now=clock.now())

    def _start_broker(self) -> None:
        port = choose_port(self.memory.broker_port)
        if port != self.memory.broker_port:
            self.say(f"broker: port {self.memory.broker_port} is in use, taking {port}")
        self.memory.broker_port = port
        users = {INGEST_USER, OBSERVER_USER, *(home.gateway_id for home in self.homes)}
        passwords = {user: self.memory.password(user) for user in users}
        if mosquitto_path() is None:
            self.say(f"broker: no Mosquitto here, taking NATS (MQTT 3.1.1) on 127.0.0.1:{port}")
            watchers = frozenset({OBSERVER_USER})
            self.broker = NatsChild(self.layout.broker, port=port, passwords=passwords, watchers=watchers)
        else:
            self.say(f"broker: Mosquitto on 127.0.0.1:{port}")
            self.broker = MosquittoChild(
                self.layout.broker, listener=Listener(port=port), passwords=passwords, access=_access_with_observer()
            )
        self.broker.start()
        self.memory.write(self.layout)

    def _start_server(self) -> None:
        port = choose_port(self.memory.web_port)
        if port != self.memory.web_port:
            self.say(f"pages: port {self.memory.web_port} is in use, taking {port}")
        self.memory.web_port = port
        self.memory.write(self.layout)
        self.say("server: ingest, alerts, pages")
        common = {"DATABASE_URL": self.dsn, "VITALWIRE_DATA": str(self.layout.root)}
        ingest = self.family.start("ingest", [*_VITALWIRE, "server", "ingest"], {**common, **self.mqtt(INGEST_USER)})
        alerts = self.family.start("alerts", [*_VITALWIRE, "alerts", "run"], common)
        web = self.family.start(
            "web",
            [*_VITALWIRE, "server", "web"],
            {
                **common,
                "VITALWIRE_WEB_PORT": str(port),
                "VITALWIRE_SIM_CONTROL": str(self.layout.device_control),
                "VITALWIRE_BROKER_FOLDER": str(self.layout.broker),
            },
        )
        ingest.wait_ready_line()
        alerts.wait_ready_line()
        web.wait_until(lambda: _answers(f"{self.url}/health/ready"))

    def _start_homes(self, measure_every: int | None) -> None:
        self.say(f"radio: {len(self.homes)} homes on a virtual air")
        hub = self.family.start("radio-hub", [*_VITALWIRE, "simulate", "hub", "--listen", "tcp://127.0.0.1:0"])
        air = str(hub.wait_ready_line()["address"])
        devices = [
            (device, self._start_device(home, device, air, measure_every, seed=10 * place + number))
            for place, home in enumerate(self.homes, 1)
            for number, device in enumerate(home.devices)
        ]
        radios = [(home, self._start_radio(home, air, number)) for number, home in enumerate(self.homes, 1)]
        for device, child in devices:
            self._controls[device.id] = str(child.wait_ready_line()["control"])
        write_secret(self.layout.device_control, json.dumps(self._controls, indent=2))
        for home, radio in radios:
            self._start_gateway(home, str(radio.wait_ready_line()["bus_address"]))

    def _start_device(
        self, home: DemoHome, device: DemoDevice, air: str, measure_every: int | None, *, seed: int
    ) -> Child:
        argv = [*_VITALWIRE, "simulate", "device", device.kind, "--id", device.id, "--address", device.address]
        argv += ["--hub", air, "--name", device.local_name, "--model", device.model, "--seed", str(seed)]
        argv += ["--state", str(self.layout.device(device.id)), "--ledger", str(self.layout.ledger(device.id))]
        argv += ["--control", "tcp://127.0.0.1:0", "--zone", home.zone]
        # In the environment: arguments are everybody's to read.
        secret = {} if device.passkey is None else {"VITALWIRE_SIM_PASSKEY": str(device.passkey)}
        if measure_every is not None:
            # A new device remembers the days since the patient was enrolled; the gateway reads them first.
            days = (clock.now().date() - home.monitored_from).days
            argv += ["--every", str(measure_every + seed % 10), "--history-days", str(days)]
        return self.family.start(f"device-{device.id}", argv, secret)

    def _start_radio(self, home: DemoHome, air: str, number: int) -> Child:
        argv = [*_VITALWIRE, "simulate", "bluez", "--hub", air, "--address", f"C4:57:1E:00:00:{number:02X}"]
        argv += ["--state", str(self.layout.radio(home.gateway_id))]
        return self.family.start(f"radio-{home.gateway_id}", argv)

    def _start_gateway(self, home: DemoHome, bus_address: str) -> Child:
        environment = {
            **self.mqtt(home.gateway_id),
            "VITALWIRE_GATEWAY_ID": home.gateway_id,
            "VITALWIRE_GATEWAY_DATA": str(self.layout.gateway(home.gateway_id)),
            "VITALWIRE_TIME_ZONE": home.zone,
            "DBUS_SYSTEM_BUS_ADDRESS": bus_address,
        }
        return self.family.start(home.gateway_id, [*_VITALWIRE, "gateway", "run"], environment)

    # --- what runs ------------------------------------------------------------------------------------------------

    @property
    def homes(self) -> tuple[DemoHome, ...]:
        return self.seeded.homes if self.seeded else ()

    @property
    def logins(self) -> tuple[DemoLogin, ...]:
        return self.seeded.logins if self.seeded else ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.memory.web_port}"

    def control_of(self, device_id: str) -> str:
        """Where the simulated device takes orders."""
        return self._controls[device_id]

    def mqtt(self, user: str) -> Mapping[str, str]:
        """Environment of one client of the broker; its password is a file."""
        password_file = write_secret(self.layout.secret_file(f"mqtt-{user}"), self.memory.password(user))
        return {
            "VITALWIRE_MQTT_URL": f"mqtt://127.0.0.1:{self.memory.broker_port}",
            "VITALWIRE_MQTT_USERNAME": user,
            "VITALWIRE_MQTT_PASSWORD_FILE": str(password_file),
            "VITALWIRE_MQTT_VERSION": "3.1.1" if isinstance(self.broker, NatsChild) else "5",
        }

    def trouble(self) -> str | None:
        """A sentence when a part ended on its own, None while all run."""
        child = self.family.ended()
        if child is not None:
            return f"{child.name} ended unexpectedly; see {child.log}\n{child.last_lines()}"
        if self.broker is not None and self.broker.pid is None:
            return f"the broker ended unexpectedly; see {self.broker.log}"
        return None

    # --- stop -----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Homes first, so that what they still send is taken; then server, broker, database."""
        if self.attached:
            return
        self.family.stop()
        if self.broker is not None:
            self.broker.stop()
        if not self.given_database:
            stop_embedded(self.layout.postgres)


def _access_with_observer() -> str:
    """The demo's own watcher may read what gateways send; it stamps the broker's part of a reading's way."""
    from gateway.contract import TOPIC_ROOT
    from server.broker import access_file_text

    return (
        f"user {OBSERVER_USER}\ntopic read {TOPIC_ROOT}/+/up/#\ntopic read {TOPIC_ROOT}/+/down/receipts\n\n"
        + access_file_text()
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def forget(layout: Layout) -> None:
    """Stop what still runs of this demo and delete everything it kept."""
    import shutil

    if (layout.postgres / "postmaster.pid").exists():
        stop_embedded(layout.postgres)
    if layout.root.exists():
        shutil.rmtree(layout.root)


def database_answers(dsn: str) -> bool:
    try:
        with psycopg.connect(dsn, connect_timeout=3):
            return True
    except psycopg.OperationalError:
        return False


def default_folder() -> Path:
    """`VITALWIRE_DATA`, else `.demo` beside the checkout's files, else the user's data folder."""
    given = os.environ.get("VITALWIRE_DATA")
    if given:
        return Path(given).expanduser()
    here = Path.cwd()
    if (here / "pyproject.toml").exists() and (here / "simulators").is_dir():
        return here / ".demo"
    return Path("~/.local/share/vitalwire/demo").expanduser()
