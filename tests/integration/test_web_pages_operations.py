"""Operator, administrator and tester over the real database; the tester's buttons reach a real simulated device."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from server.demo.device_control import DeviceControlError, ask, read_registry
from server.web.app import create_app
from server.web.config import WebSettings
from simulators.clock import SimulatedClock
from simulators.control import ControlServer, DeviceControl
from simulators.device_settings import DeviceSettings
from simulators.devices.blood_pressure_monitor import BloodPressureMonitor
from simulators.link import Air
from tests.support import builders
from tests.support.demo_month import NOW, fill
from tests.support.web import MovableClock, browser, log_in, running_app, token_of

HELD = "00000000-0000-5000-8000-0000000000aa"


@pytest.fixture
async def app(database: str) -> AsyncIterator[FastAPI]:
    with psycopg.connect(database) as conn:
        fill(conn)
        builders.practice(conn, "pr-b")
        builders.user(conn, "admin", practice_id="pr-b", login="admin-b")
        builders.user(conn, "tester", practice_id="pr-b", login="tester-b")
    async with running_app(database, MovableClock(at=NOW)) as running:
        yield running


async def post(client: httpx.AsyncClient, page: str, target: str, **fields: str) -> httpx.Response:
    token = token_of((await client.get(page)).text)
    return await client.post(target, data={"csrf_token": token, **fields})


def one(database: str, query: str) -> tuple[object, ...] | None:
    with psycopg.connect(database) as conn:
        return conn.execute(query).fetchone()  # type: ignore[arg-type]


class TestOperator:
    async def test_page_says_where_it_stands_still(self, app: FastAPI) -> None:
        async with browser(app) as client:
            await log_in(client, "admin")
            page = (await client.get("/operator")).text

        assert "Silent for 40 min" in page
        assert "12 readings" in page
        assert "battery low" in page
        assert "/devices/new?device=gl-stranger" in page
        assert "invalid-json" in page

    async def test_page_shows_no_patient_and_no_value(self, app: FastAPI) -> None:
        async with browser(app) as client:
            await log_in(client, "admin")
            page = (await client.get("/operator")).text

        for word in ("Anna", "Luis", "Ruth", "secret-value", "217", "mmHg"):
            assert word not in page

    async def test_payload_is_shown_only_after_an_audited_look(self, app: FastAPI, database: str) -> None:
        letter = one(database, "SELECT id FROM dead_letter")
        assert letter is not None
        async with browser(app) as client:
            await log_in(client, "admin")
            answer = await post(client, "/operator", f"/operator/dead-letters/{letter[0]}/payload")

        assert "secret-value" in answer.text
        assert one(database, "SELECT actor, entity_id, detail FROM audit WHERE action = 'look-at-payload'") == (
            "us-demoadmin",
            str(letter[0]),
            {},
        )

    async def test_another_practice_has_other_gateways_and_no_such_letter(self, app: FastAPI, database: str) -> None:
        letter = one(database, "SELECT id FROM dead_letter")
        assert letter is not None
        async with browser(app) as client:
            await log_in(client, "admin-b")
            page = (await client.get("/operator")).text
            answer = await post(client, "/operator", f"/operator/dead-letters/{letter[0]}/payload")

        assert "gw-demohome" not in page
        assert answer.status_code == 404

    async def test_backlog_of_the_alert_worker_is_seen(self, app: FastAPI, database: str) -> None:
        with psycopg.connect(database) as conn:
            builders.blood_pressure(
                conn, 140, 90, NOW, patient_id="pt-demo01", practice_id="pr-demo", device_id="bp-demo01", judged=None
            )
        async with browser(app) as client:
            await log_in(client, "admin")
            page = (await client.get("/operator")).text

        assert page.split("Waiting to be judged")[1].split("figure-value")[1].startswith('">1<')


class TestAdministrator:
    async def test_new_user_can_log_in_until_switched_off(self, app: FastAPI, database: str) -> None:
        async with browser(app) as admin, browser(app) as newcomer:
            await log_in(admin, "admin")
            created = await post(
                admin,
                "/admin",
                "/admin/users",
                display_name="Rita Rees",
                login="Rita",
                role="biller",
                person="",
                password="four quiet words here",
            )
            entered = await log_in(newcomer, "rita", "four quiet words here")
            row = one(database, "SELECT id, role FROM app_user WHERE login = 'rita'")
            assert row is not None
            await post(admin, "/admin", f"/admin/users/{row[0]}/disable")
            after = await newcomer.get("/billing")

        assert (created.status_code, entered.status_code) == (303, 303)
        assert row[1] == "biller"
        assert after.status_code == 303
        assert after.headers["location"].startswith("/login")

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"password": "fourteen chars"}, "Password: 15 to 256 characters"),
            ({"login": "nurse"}, "this one is taken"),
            ({"login": "a b"}, "small letters"),
            ({"role": "king"}, "choose one of the list"),
            ({"role": "nurse", "person": ""}, "choose a staff member"),
            ({"role": "nurse", "person": "dr-demo"}, "choose a staff member"),
            ({"role": "patient", "person": "st-demorn"}, "choose a patient"),
            ({"role": "biller", "person": "st-demorn"}, "leave empty for this role"),
            ({"display_name": ""}, "Name: please fill this in"),
        ],
    )
    async def test_wrong_field_is_named_and_the_rest_is_kept(
        self, app: FastAPI, database: str, changes: dict[str, str], words: str
    ) -> None:
        fields = {"display_name": "Rita Rees", "login": "rita", "role": "biller", "password": "four quiet words here"}
        async with browser(app) as client:
            await log_in(client, "admin")
            answer = await post(client, "/admin", "/admin/users", **{**fields, **changes})

        assert answer.status_code == 422
        assert words in answer.text
        assert "four quiet words here" not in answer.text
        assert one(database, "SELECT count(*) FROM app_user WHERE display_name = 'Rita Rees'") == (0,)

    async def test_nobody_switches_off_the_own_or_anothers_practice_login(self, app: FastAPI, database: str) -> None:
        async with browser(app) as client:
            await log_in(client, "admin")
            own = await post(client, "/admin", "/admin/users/us-demoadmin/disable")
            foreign = await post(client, "/admin", "/admin/users/us-admin-b/disable")

        assert (own.status_code, foreign.status_code) == (409, 404)
        assert one(database, "SELECT count(*) FROM app_user WHERE disabled_at IS NOT NULL") == (0,)

    async def test_audit_log_is_checked_on_request(self, app: FastAPI, database: str) -> None:
        async with browser(app) as client:
            await log_in(client, "admin")
            whole = (await client.get("/admin/audit?verify=1")).text
            with psycopg.connect(database) as conn:
                conn.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
                conn.execute("UPDATE audit SET actor = 'somebody' WHERE practice_id = 'pr-demo' AND seq = 1")
                conn.execute("ALTER TABLE audit ENABLE TRIGGER ALL")
            touched = (await client.get("/admin/audit?verify=1")).text

        assert "follow from one another" in whole
        assert "entry 1 was changed" in touched


class TestTester:
    async def test_a_reading_is_followed_through_its_stamps(self, app: FastAPI, database: str) -> None:
        row = one(database, "SELECT message_id::text FROM observation WHERE patient_id = 'pt-demo01' LIMIT 1")
        assert row is not None
        async with browser(app) as client:
            await log_in(client, "tester")
            followed = (await client.get(f"/tester/readings/{row[0]}")).text
            held = (await client.get(f"/tester/readings/{HELD}")).text
            unknown = await client.get("/tester/readings/00000000-0000-5000-8000-0000000000bb")
            no_id = await client.get("/tester/readings/drop-table")

        for station in ("Device", "Gateway journal", "Broker", "Database", "Receipt", "Alert engine", "Alert", "Page"):
            assert f">{station}<" in followed
        assert "it has no patient yet" in held
        assert (unknown.status_code, no_id.status_code) == (404, 404)

    async def test_exists_only_in_a_simulated_practice(self, app: FastAPI) -> None:
        async with browser(app) as client:
            await log_in(client, "tester-b")
            page = await client.get("/tester")
            reading = await client.get(f"/tester/readings/{HELD}")

        assert (page.status_code, reading.status_code) == (403, 403)

    async def test_without_simulators_the_page_says_how_to_start_them(self, app: FastAPI) -> None:
        async with browser(app) as client:
            await log_in(client, "tester")
            page = (await client.get("/tester")).text
            answer = await post(client, "/tester", "/tester/devices/bp-demo01/measure")

        assert "make demo" in page
        assert answer.status_code == 409
        assert "bp-demo01 is not simulated here" in answer.text

    async def test_buttons_reach_the_device(self, app: FastAPI, database: str, tmp_path: Path) -> None:
        registry = tmp_path / "device-control.json"
        async with simulated_cuff() as (cuff, address):
            registry.write_text(json.dumps({"bp-demo01": address}), encoding="utf-8")
            settings = WebSettings(dsn=database, pool_size=4, sim_control=registry)
            with_devices = create_app(settings, now=MovableClock(at=NOW))
            async with with_devices.router.lifespan_context(with_devices), browser(with_devices) as client:
                await log_in(client, "tester")
                acts = ("measure", "moving", "high", "clock")
                answers = [await post(client, "/tester", f"/tester/devices/bp-demo01/{act}") for act in acts]
                page = (await client.get("/tester?done=bp-demo01:high")).text

            assert [answer.status_code for answer in answers] == [303] * 4
            assert len(cuff.memory.records) == 3
            ahead = (cuff.shown_time() - cuff.true_now().replace(tzinfo=None)).total_seconds()
            assert round(ahead / 3600) == 26
        assert "bp-demo01: measure a high value, done." in page
        assert "3, 3 not yet read" in page
        assert one(database, "SELECT count(*) FROM audit WHERE action LIKE 'simulate-%'") == (4,)


class TestDeviceControl:
    async def test_refusal_comes_back_in_words(self) -> None:
        async with simulated_cuff() as (_cuff, address):
            with pytest.raises(DeviceControlError, match="no act 'dance'"):
                await ask(address, {"do": "dance"})

    async def test_unix_socket_speaks_the_same(self, tmp_path: Path) -> None:
        async with simulated_cuff(f"unix:{tmp_path / 'c.sock'}") as (_cuff, address):
            assert (await ask(address, {"do": "status"}))["id"] == "bp-demo01"

    @pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "unix:/nowhere.sock", "http://127.0.0.1:80", "nonsense"])
    async def test_device_that_is_away(self, address: str) -> None:
        with pytest.raises(DeviceControlError, match="not running"):
            await ask(address, {"do": "status"})

    def test_registry_that_is_missing_or_broken(self, tmp_path: Path) -> None:
        broken = tmp_path / "device-control.json"
        broken.write_text("[1", encoding="utf-8")

        assert read_registry(None) == {}
        assert read_registry(tmp_path / "none.json") == {}
        with pytest.raises(DeviceControlError, match="start the demo again"):
            read_registry(broken)


@asynccontextmanager
async def simulated_cuff(listen: str = "tcp://127.0.0.1:0") -> AsyncIterator[tuple[BloodPressureMonitor, str]]:
    """A simulated cuff on an air of its own, with its control socket."""
    settings = DeviceSettings(device_id="bp-demo01", address="F0:57:1E:00:01:01", name="VW-BP-0001", window_seconds=5)
    cuff = BloodPressureMonitor(settings, air=Air(), clock=SimulatedClock(NOW))
    server = ControlServer(DeviceControl(cuff))
    await cuff.power_on()
    try:
        yield cuff, await server.listen(listen)
    finally:
        await server.close()
        await cuff.power_off()
