"""The patient's page, the registry and devices over the real database: forms, rights, what reaches the facts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from server.billing.run import read_facts
from tests.support import builders
from tests.support.demo_month import ANNA, NOW, RUTH, fill
from tests.support.web import MovableClock, browser, log_in, running_app, token_of


@pytest.fixture
async def app(database: str) -> AsyncIterator[FastAPI]:
    with psycopg.connect(database) as conn:
        fill(conn)
        builders.practice(conn, "pr-b")
        builders.patient(conn, "pr-b", patient_id="pt-other", name="Other Person")
    async with running_app(database, MovableClock(at=NOW)) as running:
        yield running


async def post(client: httpx.AsyncClient, page: str, target: str, **fields: str | list[str]) -> httpx.Response:
    token = token_of((await client.get(page)).text)
    return await client.post(target, data={"csrf_token": token, **fields})


def ask(database: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database) as conn:
        return conn.execute(query).fetchall()  # type: ignore[arg-type]


class TestPatient:
    async def test_sees_the_own_last_reading_and_who_looked(self, app: FastAPI) -> None:
        async with browser(app) as nurse:
            await log_in(nurse, "nurse")
            await nurse.get(f"/registry/{ANNA}")
        async with browser(app) as client:
            await log_in(client, "patient")
            page = (await client.get("/me")).text

        assert "128 over 78" in page
        assert "call 911 now" in page
        assert "19 of the last 30 days have a reading" in page
        assert "+1 555 0199" in page
        assert "Maria Lopez, RN" in page
        assert "Luis" not in page
        assert "186/112" not in page  # the alert's own words are the care team's

    async def test_language_is_kept_in_the_account(self, app: FastAPI, database: str) -> None:
        async with browser(app) as client:
            await log_in(client, "patient")
            await post(client, "/me", "/me/language", language="es")
        async with browser(app) as client:
            await log_in(client, "patient")
            page = (await client.get("/me")).text

        assert '<html lang="es">' in page
        assert "Hola, Anna Berg" in page
        assert "Log out" not in page
        assert "Skip to the content" not in page

    async def test_unknown_language_is_refused(self, app: FastAPI) -> None:
        async with browser(app) as client:
            await log_in(client, "patient")

            assert (await post(client, "/me", "/me/language", language="xx")).status_code == 422

    @pytest.mark.parametrize(
        "path",
        [f"/registry/{ANNA}", f"/billing/2026-11/{ANNA}", f"/patients/{ANNA}", "/devices", "/operator", "/worklist"],
    )
    async def test_opens_no_page_of_the_practice(self, app: FastAPI, path: str) -> None:
        async with browser(app) as client:
            await log_in(client, "patient")

            assert (await client.get(path)).status_code == 403


class TestRegistry:
    async def test_a_new_patient_is_enrolled_end_to_end(self, app: FastAPI, database: str) -> None:
        async with browser(app) as nurse, browser(app) as doctor:
            await log_in(nurse, "nurse")
            await log_in(doctor, "doctor")
            created = await post(
                nurse,
                "/registry/new",
                "/registry/new",
                name="Nina New",
                birth_on="1948-02-29",
                sex="female",
                phone="",
                language="en",
                zone="America/Denver",
                goal="Garden again",
                established_on="2020-05-01",
            )
            home = created.headers["location"]
            both = {"practitioner": "dr-demo", "program": "ccm"}
            for code in ("I10", "e11.9"):
                await post(nurse, home, f"{home}/condition", icd10=code, chronic="yes", risk="yes")
            enrolled = await post(
                nurse, home, f"{home}/enroll", from_on="2026-11-22", ordered_on="", setup_on="", diagnosis="", **both
            )
            statements = ["availability", "cost-sharing", "one-practitioner", "right-to-stop"]
            consent = await post(
                nurse,
                home,
                f"{home}/consent",
                granted_at="2026-11-22T09:30",
                form="verbal",
                language="en",
                statements=statements,
                **both,
            )
            plan = await post(
                nurse, home, f"{home}/care-plan", program="ccm", problems="BP", goals="Below 130", actions="Call weekly"
            )
            waiting = (await nurse.get(home)).text
            plan_id = ask(database, "SELECT id FROM care_plan ORDER BY recorded_at DESC LIMIT 1")[0][0]
            refused = await post(nurse, home, f"{home}/approve", care_plan_id=str(plan_id))
            approved = await post(doctor, home, f"{home}/approve", care_plan_id=str(plan_id))
            ready = (await nurse.get(home)).text

        assert [one.status_code for one in (created, enrolled, consent, plan, approved)] == [303] * 5
        assert refused.status_code == 403
        assert "Have the CCM care plan approved." in waiting
        assert "Everything is in place." in ready
        facts = read_facts(
            database,
            patient_id=home.removeprefix("/registry/"),
            month="2026-11",
            as_of=datetime(2026, 11, 23, tzinfo=UTC),
        )
        assert [item["program"] for item in facts["enrollments"]] == ["ccm"]  # type: ignore[attr-defined]
        assert sorted(facts["consents"][0]["statements"]) == sorted(statements)  # type: ignore[index]
        assert facts["care_plans"][0]["approved_by"] == "dr-demo"  # type: ignore[index]
        assert facts["patient"]["time_zones"][0]["zone"] == "America/Denver"  # type: ignore[index]

    async def test_errors_by_field_keep_what_was_typed(self, app: FastAPI, database: str) -> None:
        async with browser(app) as client:
            await log_in(client, "nurse")
            answer = await post(
                client,
                "/registry/new",
                "/registry/new",
                name="Half <Done>",
                birth_on="2027-01-01",
                sex="female",
                language="en",
                zone="Mars",
                goal="Walk",
                phone="",
                established_on="",
            )

        assert answer.status_code == 422
        assert 'value="Half &lt;Done&gt;"' in answer.text
        assert 'value="Walk"' in answer.text
        assert "Birth date: not after 2026-11-22." in answer.text
        assert "Time zone: write an IANA zone" in answer.text
        assert ask(database, "SELECT count(*) FROM patient WHERE name LIKE 'Half%'") == [(0,)]

    async def test_consent_with_three_statements_is_not_recorded(self, app: FastAPI, database: str) -> None:
        before = ask(database, "SELECT count(*) FROM consent")
        async with browser(app) as client:
            await log_in(client, "nurse")
            answer = await post(
                client,
                f"/registry/{ANNA}",
                f"/registry/{ANNA}/consent",
                program="rpm",
                practitioner="dr-demo",
                granted_at="2026-11-22T09:30",
                form="verbal",
                language="en",
                statements=["availability", "cost-sharing", "right-to-stop"],
            )

        assert answer.status_code == 422
        assert "consent counts only when all four were said" in answer.text
        assert (
            answer.text.count('name="statements"') - answer.text.count("checked") == 1
        )  # what was ticked stays ticked
        assert ask(database, "SELECT count(*) FROM consent") == before

    async def test_second_enrolment_in_the_same_program_is_refused_in_words(self, app: FastAPI) -> None:
        async with browser(app) as client:
            await log_in(client, "nurse")
            answer = await post(
                client,
                f"/registry/{ANNA}",
                f"/registry/{ANNA}/enroll",
                program="rpm",
                practitioner="dr-demo",
                from_on="2026-11-20",
                ordered_on="2026-11-20",
                setup_on="",
                diagnosis="I10",
            )

        assert answer.status_code == 409
        assert "the patient is in this program with this practitioner then" in answer.text

    async def test_rpm_needs_order_and_diagnosis(self, app: FastAPI) -> None:
        async with browser(app) as client:
            await log_in(client, "nurse")
            answer = await post(
                client,
                f"/registry/{ANNA}",
                f"/registry/{ANNA}/enroll",
                program="rpm",
                practitioner="dr-demo",
                from_on="2026-12-01",
                ordered_on="",
                setup_on="",
                diagnosis="",
            )

        assert answer.status_code == 422
        assert "Ordered on: please give a date." in answer.text
        assert "Diagnosis: please fill this in." in answer.text

    async def test_program_ends_today_with_a_reason(self, app: FastAPI, database: str) -> None:
        found = ask(database, f"SELECT id FROM enrollment WHERE patient_id = '{RUTH}' AND program = 'rpm'")[0][0]
        async with browser(app) as client:
            await log_in(client, "nurse")
            page, target = f"/registry/{RUTH}", f"/registry/{RUTH}/end-enrollment"
            without = await post(client, page, target, enrollment_id=str(found), end_reason="")
            done = await post(client, page, target, enrollment_id=str(found), end_reason="goals-met")
            again = await post(client, page, target, enrollment_id=str(found), end_reason="goals-met")

        assert [one.status_code for one in (without, done, again)] == [409, 303, 409]
        assert ask(database, f"SELECT to_on, end_reason FROM enrollment WHERE id = '{found}'") == [
            (date(2026, 11, 22), "goals-met")
        ]

    async def test_consent_of_another_patient_can_not_be_withdrawn_here(self, app: FastAPI, database: str) -> None:
        ruths = ask(database, f"SELECT id FROM consent WHERE patient_id = '{RUTH}' LIMIT 1")[0][0]
        async with browser(app) as client:
            await log_in(client, "nurse")
            answer = await post(client, f"/registry/{ANNA}", f"/registry/{ANNA}/revoke", consent_id=str(ruths))

        assert answer.status_code == 409
        assert ask(database, "SELECT count(*) FROM consent WHERE revoked_at IS NOT NULL") == [(0,)]

    async def test_another_practices_patient_does_not_exist_and_the_attempt_is_kept(
        self, app: FastAPI, database: str
    ) -> None:
        async with browser(app) as client:
            await log_in(client, "nurse")
            page = await client.get("/registry/pt-other")
            edit = await post(
                client, "/registry", "/registry/pt-other/edit", name="X", birth_on="1950-01-01", language="en"
            )

        assert (page.status_code, edit.status_code) == (404, 404)
        assert ask(database, "SELECT name FROM patient WHERE id = 'pt-other'") == [("Other Person",)]
        assert ask(database, "SELECT count(*) FROM audit WHERE entity_id = 'pt-other' AND actor = 'us-demonurse'") == [
            (2,)
        ]

    async def test_search_takes_wildcards_literally(self, app: FastAPI) -> None:
        async with browser(app) as client:
            await log_in(client, "nurse")
            found = (await client.get("/registry", params={"q": "berg"})).text
            nobody = (await client.get("/registry", params={"q": "%"})).text

        assert "Anna Berg" in found
        assert "Luis Ortega" not in found
        assert "Nobody by this name." in nobody


class TestDevices:
    async def test_two_identifiers_must_agree(self, app: FastAPI, database: str) -> None:
        async with browser(app) as client:
            await log_in(client, "nurse")
            await post(
                client,
                "/devices/new",
                "/devices/new",
                device_id="gl-stranger",
                kind="glucose",
                gateway_id="gw-demohome00003",
                address="",
                local_name="",
                passkey="",
                fda_defined="yes",
            )
            target = "/devices/gl-stranger"
            wrong = await post(
                client, target, f"{target}/assign", patient_id=RUTH, birth_on="1944-07-28", from_at="2026-11-22T09:00"
            )
            right = await post(
                client, target, f"{target}/assign", patient_id=RUTH, birth_on="1944-07-27", from_at="2026-11-22T09:00"
            )

        assert (wrong.status_code, right.status_code) == (422, 303)
        assert "not the birth date of the chosen patient" in wrong.text
        assert "27 Jul 1944" not in wrong.text  # the second identifier is asked, never shown
        assert 'value="2026-11-22T09:00"' in wrong.text
        rows = ask(database, "SELECT patient_id, lower(valid) FROM device_assignment WHERE device_id = 'gl-stranger'")
        assert rows == [(RUTH, datetime(2026, 11, 22, 14, 0, tzinfo=UTC))]

    async def test_assignment_raises_the_configuration_and_calls_the_publisher(
        self, app: FastAPI, database: str
    ) -> None:
        with psycopg.connect(database, autocommit=True) as listener:
            listener.execute("LISTEN vw_gateway_config")
            async with browser(app) as client:
                await log_in(client, "admin")
                assignment = ask(database, "SELECT id FROM device_assignment WHERE device_id = 'bp-demo03'")[0][0]
                ended = await post(
                    client, "/devices/bp-demo03", "/devices/bp-demo03/end", assignment_id=str(assignment)
                )
            told = [note.payload for note in listener.notifies(timeout=5, stop_after=1)]

        assert ended.status_code == 303
        assert told == ["gw-demohome00003"]
        config = ask(database, "SELECT version, published_at FROM gateway_config WHERE gateway_id = 'gw-demohome00003'")
        assert config == [(2, None)]

    async def test_somebody_elses_device_is_not_given_away(self, app: FastAPI, database: str) -> None:
        async with browser(app) as client:
            await log_in(client, "nurse")
            target = "/devices/bp-demo01"
            answer = await post(
                client, target, f"{target}/assign", patient_id=RUTH, birth_on="1944-07-27", from_at="2026-11-22T09:00"
            )

        assert answer.status_code == 409
        assert ask(database, "SELECT patient_id FROM device_assignment WHERE device_id = 'bp-demo01'") == [(ANNA,)]

    async def test_device_ids_are_not_taken_twice(self, app: FastAPI) -> None:
        async with browser(app) as client:
            await log_in(client, "admin")
            answer = await post(
                client,
                "/devices/new",
                "/devices/new",
                device_id="BP-DEMO01",
                kind="glucose",
                gateway_id="gw-demohome00001",
                address="F0:57",
                local_name="",
                passkey="12345x",
            )
            taken = await post(
                client,
                "/devices/new",
                "/devices/new",
                device_id="BP-DEMO01",
                kind="glucose",
                gateway_id="gw-demohome00001",
                address="",
                local_name="",
                passkey="",
            )

        assert (answer.status_code, taken.status_code) == (422, 422)
        for text in ("Bluetooth address: six pairs", "Passkey: up to six digits"):
            assert text in answer.text
        assert "this one exists already" in taken.text
