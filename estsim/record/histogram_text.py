"""Histograms in a store: reads HdrHistogram's V2 interchange format in base64, from untrusted text.

It needs no dense array, and is some 1000 times faster than the package; `Histogram.encode` writes the format. A text of
another range, another precision or too many counts is refused before it takes memory.
"""

import struct
import zlib
from base64 import b64decode
from operator import mul
from typing import Final

from estsim.record.histograms import LATENCY, Histogram, bucket_index

# Big-endian: cookie and length before the compressed part; in it cookie, length of the counts, normalizing offset,
# digits, lowest and highest value, and a ratio for values that are not whole.
_ENVELOPE: Final = struct.Struct(">ii")
_HEADER: Final = struct.Struct(">iiiiqqd")
_COMPRESSED_V2: Final = 0x1C849304
_V2: Final = 0x1C849303
_WORD_SIZES: Final = 0xF0  # of the cookie: the word size of the counts, which V2 does not fix
_DIGITS: Final = 3
_BUCKETS: Final = bucket_index(LATENCY.highest) + 1
_MOST_BYTES: Final = _HEADER.size + 9 * _BUCKETS  # a count takes 9 bytes at most
_MOST: Final = 1 << 53  # of a count
_LONGEST: Final = 63  # bits of a number before its last byte


def decoded(encoded: str) -> Histogram:
    """Return the latency histogram of a text; raises ValueError for any other text.

    The counts are zigzag LEB128 numbers, one per bucket from bucket 0 on; a negative one is a run of empty buckets.
    """
    counts: dict[int, int] = {}
    index, number, shift = 0, 0, 0
    for byte in _payload(encoded):
        if byte >= 0x80:  # noqa: PLR2004 - the top bit says that more follows
            number |= (byte & 0x7F) << shift
            shift += 7
            if shift > _LONGEST:
                break
            continue
        number |= byte << shift
        if number & 1:
            index += (number + 1) >> 1
        else:
            if number:
                counts[index] = number >> 1
            index += 1
        number = shift = 0
    if shift or any(place >= _BUCKETS or count > _MOST for place, count in counts.items()):
        raise ValueError("not a histogram of latencies")
    return _of_counts(counts)


def _payload(encoded: str) -> bytes:
    """Return the counts of a text, after checks of its format."""
    raw = b64decode(encoded, validate=True)
    try:
        cookie, _ = _ENVELOPE.unpack_from(raw)
        inner = zlib.decompressobj().decompress(raw[_ENVELOPE.size :], _MOST_BYTES)
        head = _HEADER.unpack_from(inner)
    except (struct.error, zlib.error) as error:
        raise ValueError(f"not a histogram: {error}") from error
    inner_cookie, _, offset, digits, lowest, highest, ratio = head
    kinds = (cookie & ~_WORD_SIZES, inner_cookie & ~_WORD_SIZES)
    if kinds != (_COMPRESSED_V2, _V2) or (offset, digits, lowest, ratio) != (0, _DIGITS, 1, 1.0):
        raise ValueError("not a histogram of 3 digits in the format V2")
    if highest != LATENCY.highest:
        raise ValueError(f"a histogram of another range, up to {highest}")
    return inner[_HEADER.size :]


def _of_counts(counts: dict[int, int]) -> Histogram:
    """Return a histogram of counts by bucket; its values are the highest of their buckets."""
    histogram = Histogram(LATENCY)
    if counts:
        values = [*map(LATENCY.highest_in, counts)]  # in rising order
        histogram.counts, histogram.count = counts, sum(counts.values())
        histogram.total = sum(map(mul, values, counts.values()))
        histogram.min, histogram.max = values[0], values[-1]
    return histogram
