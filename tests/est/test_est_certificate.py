"""What is reported of a certificate."""

import pytest

from estsim.est.certificate import serial_text


@pytest.mark.parametrize(
    ("serial", "text"), [(0, "00"), (5, "05"), (0xAB, "ab"), (0xFAB, "0fab"), (1 << 156, "10" + "00" * 19), (-9, "-09")]
)
def test_a_serial_number_has_two_digits_an_octet(serial: int, text: str) -> None:
    """As OpenSSL writes it, so that it is found in the log of a CA."""
    assert serial_text(serial) == text
