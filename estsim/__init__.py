"""estsim: a device-fleet simulator and load generator for EST servers (RFC 7030).

The Python API is loaded when it is first used: ``import estsim`` alone is cheap (docs/python.md)::

    scenario = estsim.load_scenario("quickstart", devices=50)
    finished = estsim.run(scenario)
    print(finished.verdict, finished.summary.deferral.exchanges_per_certificate)
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from estsim.api import (
        Behaviour,
        FinishedRun,
        RecordedRun,
        Summary,
        forecast,
        load_scenario,
        open_run,
        run,
        run_async,
    )

__version__: Final = "0.1.0"
__all__ = [
    "Behaviour",
    "FinishedRun",
    "RecordedRun",
    "Summary",
    "__version__",
    "forecast",
    "load_scenario",
    "open_run",
    "run",
    "run_async",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the API has
    if name == "Behaviour":
        from estsim.device.behaviour import Behaviour  # noqa: PLC0415 - a user's module needs no engine

        return Behaviour
    if name in __all__:
        from estsim import api  # noqa: PLC0415 - the whole engine, which the pure rooms have no need of

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
