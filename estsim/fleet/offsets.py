"""How two machines' wall clocks stand to each other, by questions and answers: the shortest round trip says it best.

As NTP's clock filter has it (RFC 5905 §10): of several samples the one with the least delay bears the least error, at
most half of that delay.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Offsets:
    """``offset_s`` is by how much the other clock is ahead of ours, None before the first answer."""

    offset_s: float | None = None
    round_trip_s: float | None = None

    def answer(self, *, sent_s: float, told_s: float, now_s: float) -> None:
        """Take an answer: what we sent at ``sent_s`` came back at ``now_s`` with the other's time in between."""
        round_trip_s = now_s - sent_s
        if round_trip_s < 0 or (self.round_trip_s is not None and round_trip_s > self.round_trip_s):
            return
        self.round_trip_s = round_trip_s
        self.offset_s = told_s - (sent_s + now_s) / 2
