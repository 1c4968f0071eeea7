"""Parameters: dated, cited, strict; asked before their first date they are an error."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.billing.codes import register
from server.billing.concurrency import matrix, verdict
from server.billing.outcome import REASONS
from server.billing.parameter_tree import (
    FOLDER,
    TABLES,
    ParameterError,
    load_tree,
    medicare,
    parameter_of,
    read_yaml,
)

REFERENCE = {"title": "A rule", "locator": "section 1", "confidence": "V1"}


def document(**values: Any) -> dict[str, Any]:
    return {
        "description": "x",
        "metadata": {"label": "x", "unit": "s", "last_reviewed": date(2026, 11, 22)},
        "values": values.get("values", {date(2024, 1, 1): {"value": 1, "reference": REFERENCE}}),
    }


def test_newest_value_not_after_the_day() -> None:
    tree = medicare()

    assert tree.whole("rpm/setup/data_days", date(2025, 12, 31)) == 16
    assert tree.whole("rpm/setup/data_days", date(2026, 1, 1)) == 2
    assert tree.whole("units/99458", date(2023, 6, 30)) == 2
    assert tree.whole("units/99458", date(2023, 7, 1)) == 3


def test_value_before_the_first_date_is_an_error() -> None:
    with pytest.raises(ParameterError, match="first date is 2026-01-01"):
        medicare().at("rpm/management/short_block_seconds", date(2025, 12, 31))


def test_unknown_parameter_is_an_error() -> None:
    with pytest.raises(ParameterError, match="no parameter"):
        medicare().at("rpm/nothing", date(2026, 1, 1))


def test_doubled_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\na: 2\n", encoding="utf-8")

    with pytest.raises(ParameterError, match="there twice"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"note": "x"}, "unknown key note"),
        ({"values": {}}, "no values"),
        ({"values": {date(2024, 1, 1): {"value": 1}}}, "has no reference"),
        ({"values": {date(2024, 1, 1): {"reference": REFERENCE}}}, "has no value"),
        ({"values": {date(2024, 1, 1): {"value": 1, "reference": {"title": "x"}}}}, "lacks locator, confidence"),
        ({"values": {date(2024, 1, 1): {"value": 1, "reference": {**REFERENCE, "confidence": "sure"}}}}, "is none of"),
        ({"values": {date(2024, 1, 1): {"value": 1.5, "reference": REFERENCE}}}, "no whole number"),
        ({"values": {"soon": {"value": 1, "reference": REFERENCE}}}, "is no date"),
        (
            {
                "values": {
                    date(2025, 1, 1): {"value": 1, "reference": REFERENCE},
                    date(2024, 1, 1): {"value": 2, "reference": REFERENCE},
                }
            },
            "dates must increase",
        ),
    ],
)
def test_wrong_file_is_refused_with_what_to_do(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parameter_of("x", {**document(), **change})


def test_every_parameter_was_reviewed_in_the_rule_year() -> None:
    assert medicare().stale(2026) == ()
    assert len(medicare().stale(2027)) == len(list(medicare()))


def test_every_parameter_is_read_by_the_engine() -> None:
    """A file that nobody reads would be shown to billers as a rule that decides."""
    folder = Path(FOLDER).parent
    text = "".join(path.read_text(encoding="utf-8") for path in [*folder.glob("*.py"), *folder.glob("rules/*.py")])
    unread = [
        p.path
        for p in medicare()
        if p.path not in text
        and f"/{p.path.split('/', 1)[1]}" not in text
        and f"/{p.path.rsplit('/', 1)[1]}" not in text
        and not p.path.startswith("units/")
    ]
    assert unread == []


def test_digest_names_exactly_these_files(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(document()), encoding="utf-8")

    assert load_tree(tmp_path, digest="x").whole("a/b", date(2024, 1, 1)) == 1
    assert medicare().digest.startswith("sha256:")


def test_changes_between_two_days_name_both_values() -> None:
    changed = {
        p.path: (old.value if old else None, new.value if new else None)
        for p, old, new in medicare().changes(date(2025, 12, 31), date(2026, 1, 1))
    }

    assert changed["rpm/setup/data_days"] == (16, 2)
    assert changed["rpm/management/short_block_seconds"] == (None, 600)
    assert "ccm/clinical_staff/first_block_seconds" not in changed


def test_parameters_apply_to_codes_of_the_register() -> None:
    known = register()
    for parameter in medicare():
        assert set(parameter.applies_to) <= known.keys(), parameter.path


def test_codes_new_in_2026_and_ended_in_2025() -> None:
    new = {c.number for c in register().values() if c.first == date(2026, 1, 1)}

    assert new == {"99445", "99470", "98979", "98984", "98985", "98986", "G0568", "G0569", "G0570"}
    assert register()["G0511"].last == date(2025, 9, 30)
    assert register()["G0512"].last == date(2025, 12, 31)


def test_every_supported_code_has_a_rule_module() -> None:
    modules = {path.stem for path in (Path(FOLDER).parent / "rules").glob("*.py")}

    assert {c.rule for c in register().values() if c.status == "supported"} <= modules


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.csv")), ids=lambda path: path.stem)
def test_table_is_the_one_its_sidecar_names(path: Path) -> None:
    sidecar = read_yaml(path.with_suffix(".yaml"))

    assert sidecar["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sidecar["source"]


def test_matrix_answers_every_pair_both_ways_on_each_side_of_each_date() -> None:
    groups = sorted({c.group for c in register().values() if c.group})
    days = [date(2019, 12, 31), date(2020, 1, 1), date(2025, 12, 31), date(2026, 1, 1), date(2026, 12, 31)]
    for day in days:
        for one in groups:
            for other in groups:
                if one != other:
                    found = verdict(one, other, day)
                    assert found is not None
                    assert found == verdict(other, one, day)
                    assert found.citation.title
    assert len(matrix()) == len(groups) * (len(groups) - 1) // 2


@pytest.mark.parametrize(
    ("one", "other", "day", "mode"),
    [
        ("ccm-staff", "rpm-time", "2026-06-30", "distinct"),
        ("ccm-staff", "rpm-device", "2026-06-30", "allowed"),
        ("ccm-staff", "ccm-complex", "2026-06-30", "nobody"),
        ("rpm-device", "rtm", "2026-06-30", "nobody"),
        ("rpm-time", "esrd", "2026-06-30", "hold"),
        ("ccm-staff", "tcm", "2019-12-31", "yields"),
        ("ccm-staff", "tcm", "2020-01-01", "distinct"),
        ("apcm", "tcm", "2026-06-30", "same-practitioner"),
        ("apcm", "rpm-time", "2026-06-30", "distinct"),
        ("data-review", "rpm-time", "2026-06-30", "same-practitioner"),
    ],
)
def test_pair(one: str, other: str, day: str, mode: str) -> None:
    found = verdict(one, other, date.fromisoformat(day))

    assert found is not None
    assert found.mode == mode


def test_reasons_are_the_closed_vocabulary() -> None:
    assert len(REASONS) == 36
