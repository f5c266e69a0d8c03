"""The Deferral tab of Locust's web UI: a table that the UI itself keeps up to date, and a page with drawn bars.

Locust's UI shows tables of its own making in tabs that are named to it, and takes their rows from what it asks for
every two seconds anyway. For charts in such a tab it has no place, so they are on a page that is linked among the
downloads.
"""

import json
import time
from math import inf
from typing import Any, Final

from flask import Blueprint, Response, request
from locust.env import Environment

from estsim.figures.snapshot import Snapshot
from estsim.locust.master.figures import figures
from estsim.locust.master.page import page
from estsim.locust.master.run_master import lead_of

TAB: Final = "deferral"
PATH: Final = "/deferral"
_LOOK_S: Final = 0.5
_STATISTICS: Final = "locust.request_stats"
_COLUMNS: Final = [
    {"key": "figure", "title": "Deferral"},
    {"key": "value", "title": "Now"},
    {"key": "note", "title": "Details"},
]


def install_tab(environment: Environment) -> None:
    """Put the tab and its page into the web UI of an environment, before it answers its first request."""
    web_ui = environment.web_ui
    assert web_ui is not None  # noqa: S101 - only asked for where there is one
    assert web_ui.app is not None  # noqa: S101 - made with it
    web_ui.template_args |= {
        "extended_tabs": [{"key": TAB, "title": "Deferral"}],
        "extended_tables": [{"key": TAB, "structure": _COLUMNS}],
        "extended_csv_files": [{"href": f".{PATH}", "title": "Deferral charts"}],
    }

    watch = Watch(environment)

    def extend(response: Response) -> Response:
        """Add our rows to what the UI asks for, anew each time: Locust answers with the same response for a while."""
        if request.endpoint == _STATISTICS and response.is_json:
            told = json.loads(response.get_data(as_text=True))
            response.set_data(json.dumps({**told, "extended_stats": [{"key": TAB, "data": watch.rows()}]}))
        return response

    def show() -> str:
        return page(watch.look())

    options = environment.parsed_options
    blueprint = Blueprint("estsim", __name__, url_prefix=getattr(options, "web_base_path", None) or None)
    guarded = web_ui.auth_required_if_enabled(show)  # type: ignore[no-untyped-call]  # Locust says no types here
    blueprint.add_url_rule(PATH, "deferral", guarded)
    web_ui.app.register_blueprint(blueprint)
    web_ui.app.after_request(extend)


class Watch:
    """Looks at an environment's run, at most once in a while, however many ask."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._seen: Snapshot | None = None
        self._seen_s = -inf

    def look(self) -> Snapshot | None:
        """Return the moment of the run under way, or how the last one ended; None before the first."""
        now_s = time.monotonic()
        lead = lead_of(self._environment)
        if lead is not None and lead.run is not None and now_s - self._seen_s >= _LOOK_S:
            self._seen, self._seen_s = lead.run.snapshot(), now_s
        return self._seen

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the tab's table; the UI sorts them by ``name``, which is no column of it."""
        seen = self.look()
        found = () if seen is None else figures(seen)
        return [
            {"name": f"{place:02}", "key": each.key, "figure": each.name, "value": each.value, "note": each.note}
            for place, each in enumerate(found)
        ]
