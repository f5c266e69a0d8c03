"""Time to certificate with open enrolments as censored: Aalen and Johansen's estimate, its inverse, its variance."""

from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.figures.incidence import Incidence, Share, incidence_of
from estsim.record.ages import MS_NS, Ages
from estsim.record.waits import BIN_NS

LIMITS_MS = (10, 30, 60, 1000, 5000, 10_001, 10_003)
END_NS = 100_000 * BIN_NS


def ages_of(
    issued: Sequence[int] = (),
    failed: Sequence[int] = (),
    cut: Sequence[int] = (),
    limits_ms: Sequence[int] = LIMITS_MS,
) -> Ages:
    """Return ages in milliseconds."""
    ages = Ages(limits_ms)
    for age_ms in issued:
        ages.end_issued(age_ms * MS_NS)
    for age_ms in failed:
        ages.end_failed(age_ms * MS_NS)
    for age_ms in cut:
        ages.end_cut(age_ms * MS_NS)
    return ages


def share_at(limit_ms: int, ages: Ages) -> Share:
    """Return the share that is known to be one."""
    share = incidence_of(ages, END_NS).at(limit_ms)
    assert share is not None
    return share


def test_without_competing_events_the_estimate_is_that_of_the_textbook() -> None:
    """Remission times of Freireich's 6-MP group (Kaplan-Meier's usual example): median 23, S(10) = 0.7529."""
    ages = ages_of([6, 6, 6, 7, 10, 13, 16, 22, 23], cut=[6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35])
    incidence = incidence_of(ages, END_NS)
    assert incidence.size == 21
    assert incidence.quantiles(0.5, 1 - 0.753, 1 - 0.752, 0.9) == (23, 10, 13, None)
    assert incidence.horizon == 35
    assert share_at(10, ages).low == pytest.approx(1 - 0.7529, abs=1e-4)
    assert share_at(30, ages).low == pytest.approx(1 - 0.4482, abs=1e-4)


def test_failures_are_competing_events() -> None:
    """1000 starts over 100 s, half failing at 1 s and half issued at 60 s: 50 % is true at 60 s, not 28.9 %."""
    ages, end_ns = Ages([60_000]), 100_000 * MS_NS
    for n in range(1000):
        intended_ns, took_ms = n * 100 * MS_NS, 1000 if n % 2 else 60_000
        if intended_ns + took_ms * MS_NS > end_ns:
            ages.begin(intended_ns)
        elif n % 2:
            ages.end_failed(took_ms * MS_NS)
        else:
            ages.end_issued(took_ms * MS_NS)
    share = incidence_of(ages, end_ns).at(60_000)
    assert share is not None
    assert share.low == pytest.approx(0.5, abs=0.005)


def test_by_hand() -> None:
    """Five: issued at 1, cut at 2, failed at 3, issued at 4, issued at 5 (ms).

    At 1: 1/5. Past the cut each of the three left counts (1/5) / (3/4) = 4/15: 1/5 + 4/15 = 7/15 at 4, 11/15 at 5.
    """
    ages = ages_of([1, 4, 5], failed=[3], cut=[2], limits_ms=[1, 2, 3, 4, 5])
    shares = [share_at(limit_ms, ages) for limit_ms in (1, 2, 3, 4, 5)]
    assert [share.low for share in shares] == pytest.approx([1 / 5, 1 / 5, 1 / 5, 7 / 15, 11 / 15])
    assert [share.at_risk for share in shares] == [4, 4, 2, 1, 0]  # one cut at 2 is not cut before 2, and at risk then
    assert all(share.is_known for share in shares)


@given(
    st.lists(st.integers(0, 12_000), max_size=60),
    st.lists(st.integers(0, 12_000), max_size=60),
    st.sampled_from(LIMITS_MS),
)
def test_with_nothing_censored_it_is_the_plain_share(issued: list[int], failed: list[int], limit_ms: int) -> None:
    """Exactly, at each limit that was counted, within a bucket too; and a quantile is that of nearest rank."""
    ages, size = ages_of(issued, failed), len(issued) + len(failed)
    if not size:
        assert incidence_of(ages, END_NS).at(limit_ms) is None
        return
    share = share_at(limit_ms, ages)
    assert share.low == share.high == sum(age <= limit_ms for age in issued) / size
    assert share.effective == size
    wanted = [age for n, age in enumerate(sorted(issued), 1) if n >= 0.9 * size]
    assert incidence_of(ages, END_NS).quantile(0.9) == (pytest.approx(wanted[0], rel=0.001) if wanted else None)


AGES = st.lists(st.integers(0, 12_000), max_size=40)


@given(AGES, AGES, AGES, AGES)
def test_it_never_falls_with_d(issued: list[int], failed: list[int], cut: list[int], open_ms: list[int]) -> None:
    """Whatever was censored, its bounds rise with D, and stay between 0 and 1."""
    ages = ages_of(issued, failed, cut)
    for age_ms in open_ms:
        ages.begin(END_NS - age_ms * MS_NS)
    shares = [share for limit_ms in LIMITS_MS if (share := incidence_of(ages, END_NS).at(limit_ms))]
    for before, after in pairwise(shares):
        assert after.low >= before.low - 1e-9
        assert after.high >= before.high - 1e-9
    assert all(0 <= share.low <= share.high <= 1 + 1e-9 for share in shares)
    assert all(0 < share.effective <= share.samples for share in shares if share.censored < share.samples)


@given(st.lists(st.tuples(st.sampled_from(["issued", "failed", "cut"]), st.integers(0, 12_000)), max_size=60))
def test_any_split_in_any_order_merges_to_the_same(ends: list[tuple[str, int]]) -> None:
    """Two shards by turns, one of them added first or last."""

    def of(part: Sequence[tuple[str, int]]) -> Ages:
        return ages_of(*([age for kind, age in part if kind == name] for name in ("issued", "failed", "cut")))

    forth, back = of(ends[::2]), of(ends[1::2])
    forth.merge(of(ends[1::2]))
    back.merge(of(ends[::2]))
    whole = incidence_of(of(ends), END_NS)
    for other in (forth, back):
        assert [incidence_of(other, END_NS).at(limit) for limit in LIMITS_MS] == [whole.at(d) for d in LIMITS_MS]


def test_a_herd_cut_short_does_not_look_fast() -> None:
    """A hundred enrolled within a second, nine hundred still wait at 600 s: the median is not reached."""
    ages = ages_of([800] * 100, cut=[600_000] * 900)
    incidence = incidence_of(ages, END_NS)
    assert incidence.quantile(0.1) == pytest.approx(800, abs=1)
    assert (incidence.quantile(0.5), incidence.horizon) == (None, 600_000)


def test_a_failed_enrolment_never_has_a_certificate() -> None:
    """One in ten was refused: nine in ten had a certificate by the last time, and p95 is never reached."""
    incidence = incidence_of(ages_of([*range(1, 91)], failed=[5] * 10), END_NS)
    assert (incidence.quantile(0.9), incidence.quantile(0.95)) == (90, None)


def test_an_unknown_share_has_bounds() -> None:
    """Half are issued at 10 ms, half were cut at 20 ms: at 30 ms it is 50 % at least, and all may have had one."""
    ages = ages_of([10] * 50, cut=[20] * 50)
    share = share_at(30, ages)
    assert (share.low, share.high, share.is_known) == (0.5, 1.0, False)
    assert share_at(10, ages).is_known


def seen(issued: Sequence[int], still_open: Sequence[int], limit_ms: int) -> Share:
    """Return the share at an age, of a run that ended while some were open."""
    ages = ages_of(issued, limits_ms=[limit_ms])
    for age_ms in still_open:
        ages.begin(END_NS - age_ms * MS_NS)
    return share_at(limit_ms, ages)


def test_the_last_one_does_not_speak_for_those_that_still_wait() -> None:
    """242 served within 8 s, 33 open at 8.1 s, and one served at 9 s: of 15 s nobody knows, and 100 % is not told."""
    issued, still_open = [33 * n for n in range(242)], [8100] * 33
    share = seen([*issued, 9000], still_open, 15_000)
    assert [share.low, share.high] == pytest.approx([243 / 276, 1.0])
    assert not share.is_known
    assert share.evidence(0.01).unsupported
    before = seen([*issued, 9000], still_open, 8500)
    assert before.low == pytest.approx(242 / 276)
    assert (before.is_known, before.at_risk) == (True, 1)
    served = seen([*issued, *[9000] * 34], [], 15_000)
    assert (served.low, served.is_known, served.evidence(0.02).unsupported) == (1.0, True, False)


@pytest.mark.parametrize(("beyond", "is_known"), [(9, False), (10, True)])
def test_ten_that_were_observed_for_longer_tell_of_a_few_that_are_open(beyond: int, is_known: bool) -> None:  # noqa: FBT001 - a table
    """A large run, a few of its devices under way when it ended, and so many served at a greater age at once."""
    share = seen([*[100] * 1990, *[3000] * beyond], [2000] * 3, 10_000)
    assert share.is_known is is_known
    assert share.high == pytest.approx(1.0)
    assert share.low == pytest.approx(1.0 if is_known else (1990 + beyond) / (1993 + beyond))
    assert not share.evidence(0.01).unsupported  # had all three failed, it would hold as well
    assert seen([*[100] * 1990, *[3000] * 20], [2000] * 3, 2500).is_known


def cut_short(random: Random, *, failing: float, after_ms: int, limit_ms: int) -> tuple[Share, float]:
    """Return what a run tells that was cut short, and the truth: 200 devices over 10 s take 2 s on average."""
    ages, good_in_time, begun = Ages([limit_ms]), 0, 0
    for _ in range(200):
        boot_ms, age_ms, fails = random.uniform(0, 10_000), random.expovariate(1 / 2000), random.random() < failing
        if boot_ms >= after_ms:
            continue
        begun += 1
        good_in_time += age_ms <= limit_ms and not fails
        if boot_ms + age_ms > after_ms:
            ages.begin(END_NS - round((after_ms - boot_ms) * MS_NS))
        else:
            (ages.end_failed if fails else ages.end_issued)(round(age_ms * MS_NS))
    return share_at(limit_ms, ages), good_in_time / begun


@pytest.mark.parametrize("failing", [0.0, 0.3])
@pytest.mark.parametrize("after_ms", [2000, 5000, 9000])
def test_the_bounds_include_the_uncensored_share(failing: float, after_ms: int) -> None:
    """Of an age that no device was watched to, the truth lies between them, to 2 points, in 95 of 100 runs."""
    runs = [cut_short(Random(seed), failing=failing, after_ms=after_ms, limit_ms=10_000) for seed in range(100)]
    assert sum(not share.low - 0.02 <= truth <= share.high + 0.02 for share, truth in runs) <= 5
    assert sum(share.is_known for share, _ in runs) <= 5


@given(AGES, AGES, AGES, AGES)
def test_the_bounds_lie_around_the_estimate(
    issued: list[int], failed: list[int], cut: list[int], open_ms: list[int]
) -> None:
    """At their widest from the plain share of those that are known to have one to all but those known to have none."""
    ages = ages_of(issued, failed, cut)
    for age_ms in open_ms:
        ages.begin(END_NS - age_ms * MS_NS)
    incidence = incidence_of(ages, END_NS)
    for limit_ms in LIMITS_MS:
        share = incidence.at(limit_ms)
        if share is not None:
            assert share.low >= sum(age <= limit_ms for age in issued) / share.samples - 1e-9
            assert share.high <= 1 - sum(age <= limit_ms for age in failed) / share.samples + 1e-9
            assert share.is_known or share.censored


@pytest.mark.parametrize(
    ("issued", "cut", "unsupported"),
    [
        ([5] * 300, [1000], False),  # if that one had failed it would hold as well
        ([5] * 300, [20] * 40, True),  # and nobody is at risk at 30 ms, whose certificate is not known
        ([5] * 300 + [2000] * 2, [20] * 40, True),  # two are
        ([5] * 300, [1] * 40, False),  # nobody is left, but all that stayed had one
    ],
)
def test_an_estimate_that_rests_on_few_is_not_supported(issued: list[int], cut: list[int], unsupported: bool) -> None:  # noqa: FBT001 - a table
    """Past those that were censored, fewer than ten at risk."""
    assert share_at(30, ages_of(issued, cut=cut)).evidence(0.05).unsupported is unsupported


def test_the_effective_number_follows_the_variance() -> None:
    """Of 100 cut early, nothing is learnt: 200 issued half by 10 ms and half later tell as much as 200 alone."""
    share = share_at(10, ages_of([5] * 100 + [500] * 100, cut=[1] * 100))
    assert share.low == pytest.approx(0.5)
    assert share.effective == pytest.approx(200, rel=1e-6)


def test_without_enrolments_there_is_no_share() -> None:
    """None, not zero."""
    assert Incidence(Ages()).at(1000) is None
