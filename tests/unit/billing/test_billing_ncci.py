"""Loading a quarter's claim edit tables, and deciding by them from their first day on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.billing import claim_edits, ncci_tables, parameter_tree
from server.billing.cli import app
from server.billing.determine import adjudicate
from server.billing.ncci_load import TableError, load
from server.billing.ncci_tables import bases_on, edit_on, speaks_for, unit_limit
from server.billing.parameter_tree import LOADED_VARIABLE, ParameterError, medicare
from tests.billing_cases.months import Json, month_facts

OCTOBER = date(2026, 10, 1)
CMS_PTP = (
    "CPT codes only are copyright of their owner\n"
    "Column 1\tColumn 2\t*=In existence prior to 1996\tEffective Date\tDeletion Date *=no data\t"
    "Modifier 0=not allowed 1=allowed 9=not applicable\tPTP Edit Rationale\n"
    "99457\t99490\t\t20261001\t*\t0\tmore extensive\n"
    "99490\t99457\t\t20240101\t20260930\t1\tmore extensive\n"
    "11042\t97597\t\t20240101\t*\t1\tnot ours\n"
)
CMS_MUE = (
    "HCPCS/CPT Code,Practitioner Services MUE Values,MUE Adjudication Indicator,MUE Rationale\n"
    '99458,2,"2 Date of Service Edit: Policy",policy\n'
    '99490,1,"2 Date of Service Edit: Policy",policy\n'
)
ADD_ON = "Add-On Code,Edit Type,Primary Code,Effective Date,Deletion Date\n99439,1,99490,20210101,\n99458,1,CCCCC,,\n"


def forget() -> None:
    for cached in (ncci_tables.tables, parameter_tree.loaded_folder, claim_edits.indicator, medicare):
        cached.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    made = tmp_path / "ncci"
    made.mkdir()
    monkeypatch.setenv(LOADED_VARIABLE, str(made))
    forget()
    yield made
    forget()


def take(folder: Path, text: str, *, first: date = OCTOBER, name: str = "table.txt") -> None:
    path = folder.parent / name
    path.write_text(text, encoding="utf-8")
    load(path, folder, first=first, source="NCCI Q4 2026")
    forget()


def both(month: str) -> Json:
    first = date.fromisoformat(f"{month}-01")
    answer: Json = adjudicate(month_facts(month, period_from=first, days=16, rpm_time="85:00", ccm_time="25:00"))
    return answer


def billed(answer: Json) -> dict[str, int]:
    return {line["code"]: line["units"] for line in answer["billable"]}


def test_without_a_folder_nothing_is_laid_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOADED_VARIABLE, raising=False)
    forget()

    assert not speaks_for("ptp", OCTOBER)
    assert unit_limit("99458", OCTOBER) is None
    assert bases_on("99458", OCTOBER, ("99457",)) == ("99457",)


def test_pair_edit_decides_from_the_tables_first_day_on(folder: Path) -> None:
    before = both("2026-10")
    take(folder, CMS_PTP)

    assert {"99457", "99490"} <= billed(before).keys()
    held = {line["code"]: line["reasons"] for line in both("2026-10")["held"]}
    assert [reason["reason"] for reason in held["99490"]] == ["EXCLUSIVE_CODE"]
    assert "99490" in billed(both("2026-09"))


@pytest.mark.parametrize(
    ("day", "mark"),
    [(date(2026, 9, 30), None), (OCTOBER, "0"), (date(2026, 12, 31), "0")],
)
def test_edit_on_each_side_of_its_first_day(folder: Path, day: date, mark: str | None) -> None:
    take(folder, CMS_PTP)

    assert edit_on("99457", "99490", day) == mark


def test_deleted_edit_stands_until_its_day(folder: Path) -> None:
    take(folder, CMS_PTP, first=date(2026, 7, 1))

    assert edit_on("99490", "99457", date(2026, 9, 29)) == "1"
    assert edit_on("99490", "99457", date(2026, 9, 30)) is None


def test_unit_limit_of_the_table_is_the_limit_and_is_cited(folder: Path) -> None:
    assert billed(both("2026-10"))["99458"] == 3
    take(folder, CMS_MUE, name="mue.csv")

    answer = both("2026-10")
    refused = [r for line in answer["refused"] if line["code"] == "99458" for r in line["reasons"]]
    assert billed(answer)["99458"] == 2
    assert refused[0]["reason"] == "UNIT_CAP"
    assert refused[0]["citation"]["title"] == "NCCI Q4 2026"
    assert billed(both("2026-09"))["99458"] == 3


def test_add_on_bases_come_from_the_table_but_any_base_leaves_the_register(folder: Path) -> None:
    take(folder, ADD_ON, name="aoc.csv")

    assert bases_on("99439", OCTOBER, ("nothing",)) == ("99490",)
    assert bases_on("99458", OCTOBER, ("99457",)) == ("99457",)
    assert bases_on("99489", OCTOBER, ("99487",)) == ("99487",)


def test_digest_of_the_pack_names_the_loaded_tables(folder: Path) -> None:
    before = medicare().digest
    take(folder, CMS_PTP)

    assert medicare().digest != before


def test_only_our_codes_are_kept_and_both_digests_stand_beside(folder: Path) -> None:
    take(folder, CMS_PTP)
    kept = (folder / "ncci_ptp.2026-10-01.csv").read_text(encoding="utf-8")
    sidecar = (folder / "ncci_ptp.2026-10-01.yaml").read_text(encoding="utf-8")

    assert kept.splitlines()[1:] == ["99457,99490,2026-10-01,,0", "99490,99457,2024-01-01,2026-09-30,1"]
    assert "rows_read: 3" in sidecar
    assert "rows_kept: 2" in sidecar
    assert "source: NCCI Q4 2026" in sidecar


def test_shape_of_the_shipped_tables_is_read_too(folder: Path) -> None:
    for name in ("ncci_ptp", "ncci_addon"):
        take(folder, (parameter_tree.TABLES / f"{name}.csv").read_text(encoding="utf-8"), name=f"{name}.csv")

    assert edit_on("99491", "99490", OCTOBER) == claim_edits.indicator("99491", "99490", date(2026, 9, 30)) == "0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Code,Long Descriptor\n99490,x\n", "no headings"),
        ("code,value,mai,Short Descriptor\n99490,1,2,words\n", "'Short Descriptor' is not known"),
        ("code,value,mai\n9949,1,2\n", "row 1: code '9949' is no code of five characters"),
        ("code,value,mai\n99490,many,2\n", "row 1: value 'many'"),
        ("code,value,mai\n99490,1,7\n", "is no unit limit"),
        ("code,value,mai\n99490,1,2\n99490,2,2\n", "row 2: is there twice"),
        ("code,value,mai\n11042,1,2\n", "none of the 1 rows"),
        ("column1,column2,effective_from,deleted_on,modifier_indicator\n99490,99457,2026-13-01,,0\n", "is no date"),
        ("column1,column2,effective_from,deleted_on,modifier_indicator\n99490,99457,,,5\n", "none of 0, 1, 9"),
        (
            "column1,column2,effective_from,deleted_on,modifier_indicator\n99490,99457,2026-02-01,2026-01-01,0\n",
            "deleted before it begins",
        ),
    ],
)
def test_wrong_table_is_refused_and_nothing_is_written(folder: Path, text: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        take(folder, text)

    assert list(folder.iterdir()) == []


def test_all_wrong_rows_are_named(folder: Path) -> None:
    with pytest.raises(TableError) as caught:
        take(folder, "code,value,mai\n9,1,2\n99490,x,2\n99457,1,2\n")

    assert len(caught.value.problems) == 2


def test_same_table_again_changes_nothing_and_another_is_refused(folder: Path) -> None:
    take(folder, CMS_MUE, name="mue.csv")
    take(folder, CMS_MUE, name="mue.csv")

    with pytest.raises(TableError, match="is there with other rows"):
        take(folder, CMS_MUE.replace("99458,2", "99458,1"), name="mue.csv")


def test_table_that_was_edited_by_hand_stops_the_start(folder: Path) -> None:
    take(folder, CMS_MUE, name="mue.csv")
    path = folder / "ncci_mue.2026-10-01.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("99458,2", "99458,9"), encoding="utf-8")
    forget()

    with pytest.raises(ParameterError, match="load the table again"):
        unit_limit("99458", OCTOBER)


def test_command_loads_and_refuses(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "mue.csv"
    path.write_text(CMS_MUE, encoding="utf-8")
    good = CliRunner().invoke(app, ["load-ncci", str(path), "--from", "2026-10-01"])
    wrong_day = CliRunner().invoke(app, ["load-ncci", str(path), "--from", "October"])
    missing = CliRunner().invoke(app, ["load-ncci", str(tmp_path / "no.csv"), "--from", "2026-10-01"])

    assert good.exit_code == 0
    assert json.loads(good.stdout)["rows_kept"] == 2
    assert (wrong_day.exit_code, missing.exit_code) == (2, 2)
    assert json.loads(missing.stderr)["error"]["where"].endswith("no.csv")
