"""A fleet of devices as Locust users: ``locust -f locustfile.py``, or with ``--headless``.

The scenario is selected in the web UI or with ``--scenario``: a file, or the name of a library scenario. With a host,
the devices load that server; without one, a sandbox started for the run. It runs in one process, with
``--processes 4``, or as ``--master`` with Locust workers and ``estsim worker``. Results go to ``results/``.
"""

from estsim.locust.shape import BootCurve
from estsim.locust.user import EstDevice


class Device(EstDevice):
    """A device of the scenario."""


class Boots(BootCurve):
    """Users start when the scenario's devices boot; the test ends with the scenario."""
