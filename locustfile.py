"""A fleet of devices as Locust's users: ``locust -f locustfile.py``, or with ``--headless``.

The scenario is asked for in the web UI, or given by ``--scenario``: a file, or the name of one that comes with estsim.
With a host it is played against that server, without one against a sandbox started for it. It runs alone, with
``--processes 4``, or as ``--master`` of workers like it and of ``estsim worker``. Its results are in ``results/``.
"""

from estsim.locust.shape import BootCurve
from estsim.locust.user import EstDevice


class Device(EstDevice):
    """Any device of the scenario."""


class Boots(BootCurve):
    """Devices boot as the scenario has them; the test is over with the scenario."""
