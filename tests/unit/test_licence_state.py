"""The state of a licence over time: pure functions of a document and a moment."""

from __future__ import annotations

import math
import random
import uuid
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ots.license import tiers, trusted_time
from ots.license.document import (
    Binding,
    Licence,
    Malformed,
    Revocations,
    Revoked,
    Subject,
    instant,
    moment,
    read_licence,
)
from ots.license.grant import Grant
from ots.license.installed import issuer_keys, signed_revocations
from ots.license.issue import new_licence, next_serial, renewed, revocation_list, sign_revocations
from ots.license.state import HONOURED, Holder, Known, State, ends, refresh_at, state_of
from ots.license.trusted_time import EARLIEST, Memory, heard, seal, trusted_now, unseal
from ots.registry import kinds
from ots.signing.keys import write_public
from tests.licence_kit import DAY, NOW

HOLDER = Holder("agent-1", "field", "P-17")
ORDER: tuple[State, ...] = ("not-yet-valid", "valid", "refresh-due", "grace", "expired")
MICROSECOND = timedelta(microseconds=1)

starts = st.integers(int(EARLIEST), int(EARLIEST + 40 * 366 * DAY)).map(float)
lengths = st.integers(1, 1500)
moments = st.floats(EARLIEST - 400 * DAY, EARLIEST + 50 * 366 * DAY)


def licence(start: float = NOW, days: float = 365, **more: object) -> Licence:
    return new_licence(
        "professional",
        Subject(project="P-17"),
        Binding(kind="any"),
        more.pop("serial", 1),  # type: ignore[arg-type]
        start,
        days=days,
        **more,  # type: ignore[arg-type]
    )


def state(document: Licence, now: float) -> State:
    return state_of(document, HOLDER, now, Known())


@given(starts, lengths, st.integers(0, 60), moments, moments)
def test_time_only_moves_a_licence_on(start: float, days: int, grace: int, one: float, other: float) -> None:
    """Of two moments the later never finds an earlier state, wherever they lie."""
    document = licence(start, days, grace_days=grace)
    earlier, later = sorted((one, other))
    assert ORDER.index(state(document, earlier)) <= ORDER.index(state(document, later))


@given(starts, lengths, st.integers(0, 60), moments)
def test_the_state_is_honoured_exactly_from_the_first_moment_to_the_end_of_grace(
    start: float, days: int, grace: int, now: float
) -> None:
    document = licence(start, days, grace_days=grace)
    within = moment(document.not_before) <= now < ends(document)
    assert (state(document, now) in HONOURED) == within


@given(starts, lengths)
def test_edges_are_half_open_to_the_microsecond(start: float, days: int) -> None:
    """At `not_before` it holds already, at `not_after` no longer."""
    document = licence(start, days, grace_days=0)
    first = datetime.fromisoformat(document.not_before)
    last = datetime.fromisoformat(document.not_after)
    assert state(document, first.timestamp()) == "valid"
    assert state(document, (first - MICROSECOND).timestamp()) == "not-yet-valid"
    assert state(document, (last - MICROSECOND).timestamp()) == "refresh-due"
    assert state(document, last.timestamp()) == "expired"
    assert state(licence(start, days, grace_days=1), last.timestamp()) == "grace"


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe"]
)
@given(start=starts, days=lengths, hours=st.integers(-3, 3))
def test_a_day_has_24_hours_whatever_a_zone_does(zone: str, start: float, days: int, hours: int) -> None:
    """An end within hours of a change of daylight saving time is the same instant in every zone."""
    document = licence(start, days, grace_days=0)
    end = moment(document.not_after)
    assert end - moment(document.not_before) == days * DAY
    local = datetime.fromtimestamp(end + hours * 3600, ZoneInfo(zone))
    assert state(document, local.timestamp()) == ("expired" if hours >= 0 else state(document, end - 1))


def test_a_leap_day_is_a_day_and_no_other_year_has_it() -> None:
    document = licence(moment("2028-02-28T00:00:00Z"), 1, grace_days=1)
    assert document.not_after == "2028-02-29T00:00:00Z"
    assert state(document, moment("2028-02-29T23:59:59Z")) == "grace"
    assert state(document, moment("2028-03-01T00:00:00Z")) == "expired"
    with pytest.raises(ValueError):
        moment("2027-02-29T00:00:00Z")


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)))
def test_an_instant_is_read_as_it_was_written(time: datetime) -> None:
    whole = time.replace(tzinfo=UTC, microsecond=0)
    assert moment(instant(whole.timestamp())) == whole.timestamp()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(Licence.__struct_fields__), json_values)
def test_whatever_stands_in_a_field_it_is_read_or_malformed(name: str, value: object) -> None:
    """No other error, and what was read is a licence whose state can be told at any time."""
    try:
        document = read_licence({**msgspec.to_builtins(licence()), name: value})
    except Malformed:
        return
    assert state(document, NOW) in (*ORDER, "revocations-missing")
    assert ends(document) >= moment(document.not_after)


@pytest.mark.parametrize("days", [0, -1, math.nan, math.inf, 1e12])
def test_an_issuer_can_make_no_licence_that_its_reader_would_refuse(days: float) -> None:
    with pytest.raises(Malformed):
        licence(days=days)


@pytest.mark.parametrize(
    "text",
    ["2027-03-01", "2027-03-01T12:00:00", "2027-03-01T12:00:00+01:00", "2027-03-01t12:00:00z", "now", ""],
)
def test_other_ways_to_write_a_time_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        moment(text)


def test_a_revocation_names_a_licence_or_an_agent_before_a_time() -> None:
    document = licence()
    by_id = Revocations(serial=1, revoked=(Revoked(licence_id=document.licence_id),))
    assert state_of(document, HOLDER, NOW, Known([by_id])) == "revoked"
    by_agent = Revocations(serial=1, revoked=(Revoked(agent_id="agent-1", before=instant(NOW + 1)),))
    assert state_of(document, HOLDER, NOW, Known([by_agent])) == "revoked"
    later = licence(NOW + 1)
    assert state_of(later, HOLDER, NOW + 1, Known([by_agent])) == "valid"


def test_a_list_holds_the_withdrawals_of_a_large_fleet() -> None:
    """It stays below what a reader takes."""
    key = Ed25519PrivateKey.generate()
    revoked = [Revoked(licence_id=str(uuid.uuid4())) for _ in range(850)]
    text = sign_revocations(revocation_list(revoked, 850, NOW), key)
    found = signed_revocations(text, issuer_keys([write_public(key.public_key())]))
    assert found is not None and len(found[1].revoked) == 850


def test_a_renewal_grants_the_same_for_as_long_again() -> None:
    old = licence(features={"probe:ott_chat": False}, limits={"retention_days": 30}, note="loan")
    new = renewed(old, next_serial([old.serial, 7, 3]), NOW + 300 * DAY)
    assert (new.serial, new.tier, new.features, new.limits, new.note) == (
        8,
        old.tier,
        old.features,
        old.limits,
        old.note,
    )
    assert moment(new.not_after) - moment(new.not_before) == 365 * DAY
    assert new.licence_id != old.licence_id and new.line == old.line


def test_refreshes_of_ten_thousand_agents_are_spread_evenly() -> None:
    """No tenth of the window gets more than a share and a quarter."""
    document = licence()
    chance = random.Random(5)
    drawn = [refresh_at(document, chance) for _ in range(10_000)]
    first, last = moment(document.refresh_after or ""), moment(document.not_after)
    counts = [0] * 10
    for at in drawn:
        assert at is not None and first <= at <= last
        counts[min(9, int((at - first) / (last - first) * 10))] += 1
    assert max(counts) < 1250 and min(counts) > 750


@given(moments, st.floats(-1e9, 1e9), moments)
def test_trusted_time_never_falls_below_its_floor(wall: float, offset: float, floor: float) -> None:
    assert trusted_now(wall, Memory(floor, offset)) >= floor


@given(moments, st.lists(moments, max_size=5))
def test_the_floor_only_rises_and_never_by_the_machines_clock(wall: float, stated: list[float]) -> None:
    memory = Memory()
    for time in stated:
        memory = heard(memory, time, wall)
        assert trusted_now(wall, memory) >= time
    assert memory.floor == max([0.0, *stated])


def test_a_memory_is_read_only_with_the_key_that_sealed_it() -> None:
    memory = Memory(NOW, -12.5, {"ACME//P-17/any": (7, "licence-7")}, frozenset({"licence-1"}), {"key-1": 3})
    sealed = seal(memory, b"key")
    assert unseal(sealed, b"key") == memory
    assert unseal(sealed, b"other") is None
    assert unseal(sealed.replace(b"licence-7", b"licence-6"), b"key") is None
    for broken in (b"", b"[]", b"{}", b"\xff", b'{"mac": 1}', sealed[:-2]):
        assert unseal(broken, b"key") is None


@given(st.binary(max_size=300))
def test_a_broken_memory_raises_nothing(data: bytes) -> None:
    assert trusted_time.unseal(data, b"key") is None


def test_whoever_has_a_higher_tier_lacks_nothing_of_a_lower_one() -> None:
    for lower, higher in zip(tiers.TIERS, tiers.TIERS[1:], strict=False):
        for feature in tiers.FEATURES:
            name = feature.name.replace("*", "x")
            assert tiers.grants(higher, name) or not tiers.grants(lower, name)
        for name, limit in tiers.LIMITS.items():
            more = tiers.more_generous(name, limit.values[lower], limit.values[higher])
            assert more == limit.values[higher]


def test_a_licence_has_the_last_word_over_its_tier_but_takes_nothing_from_default() -> None:
    """The most exact of its words counts; what everybody has it can't take."""
    words = {"probe:voice_*": False, "probe:voice_call": True, "probe:ping": False, "upload": False}
    numbers = {
        "retention_days": 1,
        "schedule_floor_seconds": 3600,
        "reports_per_day": 50,
        "bytes_per_day": None,
    }
    grant = Grant(licence(features=words, limits=numbers))
    assert grant.covers("probe:voice_call")
    assert not grant.covers("probe:voice_menu")
    assert grant.covers("probe:sms_send")
    assert grant.covers("probe:ping") and grant.covers("upload")
    limits = {name: grant.limit(name) for name in tiers.LIMITS}
    assert limits["retention_days"] == 7
    assert limits["schedule_floor_seconds"] == 900
    assert limits["reports_per_day"] == 50
    assert limits["bytes_per_day"] is None
    assert limits["packets_per_second"] == 2000
    assert Grant().limit("retention_days") == 7


def test_default_covers_every_kind_that_there_is() -> None:
    """What anybody can measure today needs no licence; a new kind that should is named in the table."""
    assert all(tiers.grants("default", f"probe:{kind}") for kind in kinds())
    assert not tiers.grants("friendly", "probe:voice_call")
    assert tiers.granted_from("probe:video_stream") == "friendly"
    assert tiers.granted_from("no-such-feature") is None
