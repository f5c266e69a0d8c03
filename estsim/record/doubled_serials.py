"""Serial numbers that an issuer used for two certificates, found in the store at the end of a run.

RFC 5280 §4.1.2.2: the serial number "MUST be unique for each certificate issued by a given CA". It takes
the certificates of the whole fleet to see that, and the database sorts them on disk, so that a million take no memory.
The exchange that received a number again is marked as non-conforming.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from estsim.est.outcome import NonConformance

SERIAL_TWICE: Final = NonConformance("serial number issued twice", "RFC 5280 §4.1.2.2")

# A certificate that is sent twice, for example after a lost answer, is one certificate.
_FIND: Final = """
CREATE TEMP TABLE doubled AS
SELECT cohort, device, number, serial, issuer FROM (
  SELECT cohort, device, number, serial, issuer,
    ROW_NUMBER() OVER (PARTITION BY issuer, serial ORDER BY began_ns, cohort, device, number) AS nth
  FROM (
    SELECT cohort, device, number, serial, issuer, MIN(ended_ns) AS began_ns
    FROM enrolments WHERE serial IS NOT NULL GROUP BY issuer, serial, key_sha256, subject, not_after
  )
) WHERE nth > 1
"""
_INDEX: Final = "CREATE UNIQUE INDEX temp.of_doubled ON doubled (cohort, device, number)"
_CONCERNED: Final = (
    "kind = 'ok' AND operation IN ('simpleenroll', 'simplereenroll', 'serverkeygen') "
    "AND (cohort, device, enrolment) IN (SELECT cohort, device, number FROM doubled)"
)
_SAID: Final = (
    "SELECT 'serial ' || serial || ' was already issued by ' || issuer FROM doubled "
    "WHERE (doubled.cohort, doubled.device, doubled.number) = (exchanges.cohort, exchanges.device, exchanges.enrolment)"
)
_MARK: Final = f"""
UPDATE exchanges SET
  non_conformances = json_insert(COALESCE(non_conformances, '[]'), '$[#]', json_array(?, ?)),
  detail = detail || CASE WHEN detail = '' THEN '' ELSE '; ' END || ({_SAID})
WHERE {_CONCERNED}
"""  # noqa: S608 - names of ours
_COUNT: Final = f"SELECT cohort, intended_ns, COUNT(*) FROM exchanges WHERE {_CONCERNED} GROUP BY 1, 2"  # noqa: S608 - the same


@dataclass(frozen=True, slots=True)
class Doubled:
    """Certificates of a cohort with a used serial number, from exchanges with the same intended start."""

    cohort: str
    intended_ns: int
    count: int


def mark_doubled_serials(connection: sqlite3.Connection) -> Sequence[Doubled]:
    """Mark the exchanges that received a serial number which its issuer had used for another certificate."""
    connection.execute("DROP TABLE IF EXISTS temp.doubled")
    connection.execute(_FIND)
    if connection.execute("SELECT NOT EXISTS (SELECT 1 FROM doubled)").fetchone()[0]:
        return ()
    connection.execute(_INDEX)
    found = [Doubled(*row) for row in connection.execute(_COUNT)]
    connection.execute(_MARK, (SERIAL_TWICE.rule, SERIAL_TWICE.rfc_section))
    return found
