"""Serial numbers that an issuer gave to two certificates, found in the store once a run is over.

RFC 5280 §4.1.2.2: the serial number "MUST be unique for each certificate issued by a given CA". Only the whole fleet's
certificates tell, whichever worker got them, and they are on disk: the database sorts them there, so that a million
cost no memory. The exchange that brought a number again is marked, and so counts like any that breaks a rule.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from estsim.est.outcome import NonConformance

SERIAL_TWICE: Final = NonConformance("serial number issued twice", "RFC 5280 §4.1.2.2")

# The same certificate that is given out twice, after a lost answer say, is one certificate.
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
    """So many certificates of a cohort, sought by exchanges meant for the same moment, came with a number again."""

    cohort: str
    intended_ns: int
    count: int


def mark_doubled_serials(connection: sqlite3.Connection) -> Sequence[Doubled]:
    """Mark the exchanges that brought a serial number which its issuer had given to another certificate."""
    connection.execute("DROP TABLE IF EXISTS temp.doubled")
    connection.execute(_FIND)
    if connection.execute("SELECT NOT EXISTS (SELECT 1 FROM doubled)").fetchone()[0]:
        return ()
    connection.execute(_INDEX)
    found = [Doubled(*row) for row in connection.execute(_COUNT)]
    connection.execute(_MARK, (SERIAL_TWICE.rule, SERIAL_TWICE.rfc_section))
    return found
