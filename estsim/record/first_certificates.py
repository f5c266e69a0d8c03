"""Which devices have had their first certificate, so that it is counted once."""

from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.record.enrolment_tally import FAILURES
from estsim.record.sample import Enrolment


class FirstCertificateOnce:
    """The devices of one process that have had a first certificate, or were not to have one."""

    def __init__(self) -> None:
        self._settled: set[tuple[str, int]] = set()

    def is_first(self, ended: Enrolment) -> bool:
        """Say whether this search, which has ended, settled its device's first certificate; true once for each."""
        device = (ended.cohort, ended.device)
        settled = ended.end is EnrolmentEnd.ISSUED or (ended.expected and ended.end in FAILURES)
        first = settled and ended.goal is Goal.ENROLL and device not in self._settled
        if first:
            self._settled.add(device)
        return first
