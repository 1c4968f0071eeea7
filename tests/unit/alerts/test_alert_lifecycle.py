"""Steps of an alert's life that the golden cases leave open. Expected lines are written by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from alerts.cases import EPOCH, run_case
from alerts.engine import due_at, step
from alerts.model import Reading
from alerts.profile import rules_for
from alerts.rules import load_rule_set
from alerts.state import new_state

RULES = load_rule_set()


def lines(*events: str, at: int, profile: dict[str, Any] | None = None) -> dict[str, list[str]]:
    row = run_case({"id": "x", "events": list(events), "at": at, "profile": profile or {}}, RULES)
    return {
        "alerts": [
            f"{a['family']} {a['severity']} {a['state']} L{a['level']} n={a['evidence']} {','.join(a['tags'])}".strip()
            for a in row["alerts"]
        ],
        "notified": [f"{n['minute']}:{n['family']}:L{n['level']}" for n in row["notified"]],
        "held": [f"{h['event']}:{h['verdict']}" for h in row["held"]],
        "refused": [f"{r['minute']}:{r['action']}:{r['reason']}" for r in row["refused"]],
    }


def alerts(*events: str, at: int, profile: dict[str, Any] | None = None) -> list[str]:
    return lines(*events, at=at, profile=profile)["alerts"]


# --- retakes


def test_retake_on_the_last_minute_of_the_window_counts() -> None:
    assert alerts("0 bp 190/100", "20 bp 185/100", at=20) == ["bp.high P1 open L0 n=2 confirmed"]


def test_retake_after_the_window_is_a_new_first_reading() -> None:
    assert alerts("0 bp 190/100", "21 bp 185/100", at=21) == ["bp.high P2 open L0 n=2 no_retake"]


def test_two_severe_readings_close_together_confirm_an_alert_that_is_open_already() -> None:
    assert alerts("0 bp 190/100", "30 bp 185/100", "35 bp 186/100", at=35) == [
        "bp.high P1 open L0 n=3 confirmed,no_retake"
    ]


def test_reading_of_the_same_minute_is_no_retake() -> None:
    assert alerts("0 bp 190/100", "0 bp 191/100", at=0) == ["bp.high P2 pending L0 n=2"]
    assert alerts("0 bp 190/100", "0 bp 120/80", at=0) == ["bp.high P2 pending L0 n=1"]


def test_suspect_extreme_value_waits_for_a_retake() -> None:
    result = lines("0 bp 230/120 movement", at=1)

    assert result == {"alerts": ["bp.high P2 pending L0 n=1"], "notified": [], "held": [], "refused": []}


def test_good_reading_confirms_a_suspect_one() -> None:
    assert alerts("0 bp 190/100 movement", "6 bp 188/100", at=6) == ["bp.high P1 open L0 n=2 confirmed"]


def test_extreme_retake_opens_at_once() -> None:
    assert alerts("0 bp 190/100", "6 bp 225/100", at=6) == ["bp.high P1 open L0 n=2 at_once"]


def test_late_severe_reading_asks_for_no_retake() -> None:
    assert alerts("0 bp 192/124 rx=900", at=930) == ["bp.high P3 open L0 n=1 late"]


@pytest.mark.parametrize(("minutes", "line"), [(360, "P1 open L0 n=1"), (361, "P3 open L0 n=1 late")])
def test_late_begins_after_six_hours(minutes: int, line: str) -> None:
    assert alerts(f"0 glucose 48 rx={minutes}", at=minutes) == [f"glucose.low {line}"]


@pytest.mark.parametrize(("ahead", "line"), [(10, []), (11, ["tech.clock P4 open L0 n=1"])])
def test_clock_ahead_of_the_server(ahead: int, line: list[str]) -> None:
    assert alerts(f"{ahead} bp 120/80 rx=0", at=1) == line


def test_missing_pulse_neither_confirms_nor_clears() -> None:
    assert alerts("0 bp 120/80 p130", "5 bp 121/80", at=20) == ["pulse P3 open L0 n=1 no_retake"]


def test_first_reading_that_came_hours_late_is_confirmed_by_the_retake_it_asked_for() -> None:
    assert alerts("0 bp 190/100 rx=180", "186 bp 188/100", at=186) == ["bp.high P1 open L0 n=2 confirmed"]


RECOVERED = ("0 bp 86/60", "4 bp 87/60", "9 bp 120/80")  # bp.low: P2, confirmed, then back


def test_low_pressure_after_recovery_calls_people_back_when_confirmed() -> None:
    assert alerts(*RECOVERED, at=9) == ["bp.low P2 recovered L0 n=2 confirmed"]
    assert alerts(*RECOVERED, "30 bp 86/60", at=30) == ["bp.low P2 recovered L0 n=3 confirmed"]
    result = lines(*RECOVERED, "30 bp 86/60", "35 bp 86/60", at=35)
    assert result["alerts"] == ["bp.low P2 open L0 n=4 confirmed"]
    assert result["notified"] == ["4:bp.low:L0", "35:bp.low:L0"]


def test_low_pressure_after_recovery_without_a_retake_is_not_forgotten() -> None:
    assert alerts(*RECOVERED, "30 bp 86/60", at=50) == ["bp.low P2 open L0 n=3 confirmed,no_retake"]
    assert alerts(*RECOVERED, "30 bp 86/60 movement", at=49) == ["bp.low P2 recovered L0 n=3 confirmed"]
    assert alerts(*RECOVERED, "30 bp 86/60 movement", at=50) == ["bp.low P2 open L0 n=3 confirmed,no_retake"]
    assert alerts(*RECOVERED, "30 bp 86/60", "36 bp 120/80", at=60) == ["bp.low P2 recovered L0 n=3 confirmed"]


def test_suspect_reading_does_not_worsen_an_open_alert() -> None:
    repeat = ("0 bp 165/90", "60 bp 165/90", "120 bp 165/90")

    assert lines(*repeat, "200 bp 230/90 movement", at=200) == {
        "alerts": ["bp.high P3 open L0 n=4"],
        "notified": [],
        "held": [],
        "refused": [],
    }
    without = lines(*repeat, "200 bp 230/90 movement", at=220)
    assert without["alerts"] == ["bp.high P2 open L0 n=4 no_retake"]
    assert without["notified"] == ["220:bp.high:L0"]
    assert alerts(*repeat, "200 bp 230/90 movement", "206 bp 158/90", at=220) == ["bp.high P3 open L0 n=4"]
    assert alerts(*repeat, "150 claim bp.high", "200 bp 230/90 movement", at=220) == [
        "bp.high P2 claimed L0 n=4 no_retake"
    ]


# --- several rules of one family


def test_repeat_rule_stands_when_the_severe_reading_is_not_confirmed() -> None:
    result = lines("0 bp 165/90", "100 bp 165/90", "200 bp 190/90", "206 bp 158/90", at=230)

    assert result["alerts"] == ["bp.high P3 open L0 n=3 not_confirmed"]
    assert result["notified"] == []


def test_severe_reading_on_a_repeat_alert_is_told_at_once_and_confirmed_later() -> None:
    result = lines("0 bp 165/90", "60 bp 165/90", "120 bp 165/90", "200 bp 190/90", "206 bp 185/90", at=206)

    assert result["alerts"] == ["bp.high P1 open L0 n=5 confirmed"]
    assert result["notified"] == ["200:bp.high:L0", "206:bp.high:L0"]


def test_family_is_clear_only_when_every_rule_that_fired_is() -> None:
    events = ("0 bp 165/90", "60 bp 165/90", "120 bp 190/90", "126 bp 190/90")

    assert alerts(*events, "200 bp 158/90", at=200) == ["bp.high P1 open L3 n=4 confirmed"]
    assert alerts(*events, "200 bp 150/90", at=200) == ["bp.high P1 recovered L3 n=4 confirmed"]


# --- claims, snoozes, closes


def test_worse_reading_tells_again_and_leaves_the_claim() -> None:
    result = lines("0 glucose 66", "2 claim glucose.low by=ann", "10 glucose 50", at=24)

    assert result["alerts"] == ["glucose.low P1 claimed L0 n=2"]
    assert result["notified"] == ["0:glucose.low:L0", "10:glucose.low:L0"]


def test_claim_of_a_worse_alert_is_idle_sooner() -> None:
    assert alerts("0 glucose 66", "2 claim glucose.low", "10 glucose 50", at=25) == [
        "glucose.low P1 open L1 n=2 claim_timeout"
    ]


def test_contact_stops_the_idle_clock() -> None:
    assert alerts("0 glucose 310", "1 claim glucose.high", "2 contact glucose.high", at=500) == [
        "glucose.high P2 claimed L0 n=1"
    ]


def test_escalation_goes_on_from_where_a_claim_timed_out() -> None:
    assert lines("0 bp 228/118", "1 claim bp.high", at=46)["notified"] == [
        "0:bp.high:L0",
        "16:bp.high:L1",
        "31:bp.high:L2",
        "46:bp.high:L3",
    ]


def test_low_comes_back_after_recovery() -> None:
    result = lines("0 glucose 48", "3 glucose 96", "30 glucose 66", at=30)

    assert result["alerts"] == ["glucose.low P1 open L0 n=2"]
    assert result["notified"] == ["0:glucose.low:L0", "30:glucose.low:L0"]


def test_p3_closes_by_itself_when_clear() -> None:
    assert alerts("0 glucose 260", "60 glucose 260", "90 glucose 240", at=90) == [
        "glucose.high P3 closed L0 n=2 recovered"
    ]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (243, ["glucose.low P2 open L0 n=2 handled,reopened"]),
        (244, ["glucose.low P2 closed L0 n=1 handled", "glucose.low P2 open L0 n=1"]),
    ],
)
def test_same_family_within_four_hours_of_the_close_is_the_same_alert(second: int, expected: list[str]) -> None:
    assert alerts("0 glucose 62", "3 close glucose.low note=ate", f"{second} glucose 62", at=second) == expected


def test_reopened_alert_starts_with_the_first_on_call_again() -> None:
    result = lines("0 glucose 50", "16 close glucose.low note=ate", "100 glucose 50", at=100)

    assert result["alerts"] == ["glucose.low P1 open L0 n=2 handled,reopened"]
    assert result["notified"][-1] == "100:glucose.low:L0"


def test_snoozed_alert_is_told_again_when_its_time_is_over() -> None:
    result = lines("0 glucose 310", "7 snooze glucose.high min=120 reason=insulin", at=127)

    assert result["alerts"] == ["glucose.high P2 open L0 n=1"]
    assert result["notified"] == ["0:glucose.high:L0", "127:glucose.high:L0"]


@pytest.mark.parametrize(
    ("events", "refusal"),
    [
        (("0 bp 190/100", "1 claim bp.high"), "1:claim:not_allowed"),
        (("0 bp 190/100", "1 close bp.high note=x"), "1:close:not_allowed"),
        (("1 claim bp.high",), "1:claim:no_alert"),
        (("0 glucose 310", "1 snooze glucose.high min=0 reason=x"), "1:snooze:not_allowed"),
        (("0 glucose 310", "1 snooze glucose.high min=241 reason=x"), "1:snooze:not_allowed"),
    ],
)
def test_refusals(events: tuple[str, ...], refusal: str) -> None:
    assert lines(*events, at=1)["refused"] == [refusal]


def test_measuring_again_in_time_is_no_overdue_recheck_though_still_low() -> None:
    assert alerts("0 glucose 60", "18 glucose 75", at=37) == ["glucose.low P2 open L0 n=1"]
    assert alerts("0 glucose 60", "18 glucose 75", at=38) == ["glucose.low P2 open L1 n=1 recheck_overdue"]


# --- trends, counts, weight, silence


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (("0..7200/720 bp 141/88",), []),  # 11 readings
        (("0..110/10 bp 141/88",), []),  # 12 readings on one day
        (("0..2750/250 bp 141/88",), []),  # 12 readings on two days
        (("0..7920/720 bp 134.9/84.9",), ["bp.trend P4 open L0 n=12"]),
        (("0..7920/720 bp 129/79",), []),
    ],
)
def test_week_mean_needs_twelve_readings_on_three_days(events: tuple[str, ...], expected: list[str]) -> None:
    assert alerts(*events, at=7920, profile={"expects": []}) == expected


def test_inhibited_trend_is_shown_when_the_severe_alert_ends() -> None:
    events = ("0..7200/720 bp 150/92", "7900 bp 199/126")

    assert alerts(*events, "7910 bp 150/92", at=7910) == [
        "bp.high P2 closed L0 n=1 not_confirmed",
        "bp.trend P3 open L0 n=13",
    ]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (("0 weight 180", "720 weight 183"), ["weight.gain P3 open L0 n=1"]),
        (("0 weight 180", "719 weight 183"), []),
        (("0 weight 180", "2160 weight 183"), ["weight.gain P3 open L0 n=1"]),
        (("0 weight 180", "1440 weight 182.9"), []),
        (("0 weight 180", "2161 weight 184.9"), []),
        (("0 weight 180", "2161 weight 185"), ["weight.gain P2 open L0 n=1"]),
        (("0 weight 180", "4000 weight 181", "11520 weight 185"), ["weight.gain P2 open L0 n=1"]),
        (("0 weight 180", "4000 weight 181", "11521 weight 185"), []),
    ],
)
def test_weight_gain_windows(events: tuple[str, ...], expected: list[str]) -> None:
    last = int(events[-1].split()[0])
    assert alerts(*events, at=last, profile={"kinds": ["hf"], "expects": []}) == expected


def test_weight_of_other_patients_is_not_judged() -> None:
    assert alerts("0 weight 180", "1440 weight 190", at=1440) == []


def test_silence_waits_for_the_lost_gateway_and_counts_anew() -> None:
    events = ("100 gateway_offline", "5000 gateway_online")

    assert alerts(*events, at=5000 + 4319) == ["tech.gateway P4 closed L0 n=0 online"]
    assert alerts(*events, at=5000 + 4320) == [
        "tech.gateway P4 closed L0 n=0 online",
        "tech.missed P4 open L0 n=0",
    ]


def test_missed_alert_is_inhibited_when_the_gateway_goes_later() -> None:
    assert alerts("4400 gateway_offline", at=4400) == [
        "tech.missed P4 open L0 n=0 inhibited",
        "tech.gateway P4 open L0 n=0",
    ]


def test_missed_alert_closed_by_a_person_comes_back_after_as_long_a_silence() -> None:
    assert alerts("4330 close tech.missed", at=4330 + 4319) == ["tech.missed P4 closed L0 n=0 handled"]
    assert alerts("4330 close tech.missed", at=4330 + 4320) == [
        "tech.missed P4 closed L0 n=0 handled",
        "tech.missed P4 open L0 n=0",
    ]


# --- quality and identity


@pytest.mark.parametrize(
    ("reading", "verdict"),
    [
        ("bp 50/39", []),
        ("bp 49/30", ["1:quarantined"]),
        ("bp 270/100", []),
        ("bp 271/100", ["1:quarantined"]),
        ("bp 100/20", []),
        ("bp 100/19", ["1:quarantined"]),
        ("bp 130/119", []),
        ("bp 130/120", ["1:quarantined"]),
        ("bp 120/80 p25", []),
        ("bp 120/80 p24", ["1:quarantined"]),
        ("glucose 10", []),
        ("glucose 9", ["1:quarantined"]),
        ("glucose 600", []),
        ("glucose 601", ["1:quarantined"]),
        ("spo2 50", []),
        ("spo2 49", ["1:quarantined"]),
        ("spo2 100", []),
        ("weight 50", []),
        ("weight 49.9", ["1:quarantined"]),
        ("weight 800.1", ["1:quarantined"]),
    ],
)
def test_impossible_values(reading: str, verdict: list[str]) -> None:
    assert lines(f"0 {reading}", at=0)["held"] == verdict


def test_good_reading_between_breaks_the_row_of_bad_ones() -> None:
    assert alerts("0 bp 70/140", "1 bp 70/140 p60", "2 bp 120/80", "3 bp 70/141", at=3) == []


def test_harmless_reading_of_another_person_is_a_task_not_a_page() -> None:
    result = lines("0 bp 120/80 u=2", at=0, profile={"user": 1})

    assert result["alerts"] == ["tech.identity P4 open L0 n=1"]
    assert result["notified"] == []


def test_ketones_are_asked_for_only_where_they_matter() -> None:
    assert alerts("0 glucose 310", at=0, profile={"sglt2": True}) == ["glucose.high P2 open L0 n=1 ketone_advice"]
    assert alerts("0 glucose 310", at=0) == ["glucose.high P2 open L0 n=1"]


def test_single_value_of_181_to_250_raises_nothing() -> None:
    assert alerts("0 glucose 181", "60 glucose 250", at=60) == []


# --- hours of the practice


def test_p3_waits_for_office_hours_and_p1_does_not() -> None:
    monday = EPOCH + timedelta(days=7)

    def closed_until_monday(start: datetime, span: timedelta) -> datetime:
        return max(start, monday) + span

    rules = rules_for(RULES, {"expects": []}, after=closed_until_monday)
    state = new_state(EPOCH)
    for minute, value in ((0, "260"), (60, "260")):
        state, _ = step(state, glucose_at(minute, value), rules)
    assert due_at(state, rules) == monday + timedelta(minutes=480)

    state, _ = step(state, glucose_at(70, "48"), rules)
    assert due_at(state, rules) == EPOCH + timedelta(minutes=75)


def glucose_at(minute: int, value: str) -> Reading:
    at = EPOCH + timedelta(minutes=minute)
    return Reading(
        id=f"r{minute}", kind="glucose", measured_at=at, arrived_at=at, values=(Decimal(value),), day=at.toordinal()
    )


def test_recheck_overdue_does_not_set_the_escalation_clock_back() -> None:
    result = lines("0 glucose 66", at=120)

    assert result["notified"] == ["0:glucose.low:L0", "20:glucose.low:L1", "120:glucose.low:L2"]
