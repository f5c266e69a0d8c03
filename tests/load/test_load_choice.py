"""Shares of devices: exact counts, chosen by seed."""

from hypothesis import given
from hypothesis import strategies as st

from estsim.load.choice import chosen, count_of, parted
from estsim.load.streams import Purpose

SHARES = st.floats(0, 1)


def test_a_share_is_an_exact_count() -> None:
    """Rounded to the nearest device, halves up."""
    assert [count_of(share, 15) for share in (0.0, 0.03, 0.1, 0.5, 0.999, 1.0)] == [0, 0, 2, 8, 15, 15]


@given(share=SHARES, first=st.integers(0, 10**6), devices=st.integers(0, 200), seed=st.integers(0, 100))
def test_the_chosen_are_of_the_cohort_and_as_many_as_meant(share: float, first: int, devices: int, seed: int) -> None:
    """Each once."""
    found = chosen(share, first, devices, seed=seed, purpose=Purpose.SELECTION)
    assert len(found) == len(set(found)) == count_of(share, devices)
    assert set(found) <= set(range(first, first + devices))


def test_another_seed_purpose_or_event_chooses_others() -> None:
    """And the same choose the same."""
    draws = [
        chosen(0.2, 0, 100, seed=1, purpose=Purpose.FAULT),
        chosen(0.2, 0, 100, seed=2, purpose=Purpose.FAULT),
        chosen(0.2, 0, 100, seed=1, purpose=Purpose.SELECTION),
        chosen(0.2, 0, 100, seed=1, purpose=Purpose.FAULT, counter=1),
    ]
    assert len(set(draws)) == 4
    assert chosen(0.2, 0, 100, seed=1, purpose=Purpose.FAULT) == draws[0]


def test_a_larger_share_holds_the_smaller_one() -> None:
    """A fleet with more of a fault has the old ones too."""
    few, many = (chosen(share, 0, 50, seed=1, purpose=Purpose.FAULT) for share in (0.1, 0.4))
    assert many[: len(few)] == few


@given(shares=st.lists(SHARES, max_size=5), devices=st.integers(0, 100))
def test_parts_have_no_device_in_common(shares: list[float], devices: int) -> None:
    """Each as large as its share says, as long as there are devices left."""
    parts = parted(shares, 7, devices, seed=1, purpose=Purpose.FAULT)
    together = [device for part in parts for device in part]
    assert len(together) == len(set(together)) == min(devices, sum(count_of(share, devices) for share in shares))
    assert all(len(part) <= count_of(share, devices) for part, share in zip(parts, shares, strict=True))
