"""A scenario put together: files that it includes under its own keys, and variables of the environment in its values.

Every value keeps the place where it was written, in whichever file that is, so that mistakes are told there.
"""

from collections.abc import Mapping
from pathlib import Path

from estsim.scenario.document import Document
from estsim.scenario.inclusion import Inclusion
from estsim.scenario.variables import Variables


def compose(path: Path, environment: Mapping[str, str]) -> Document:
    """Read a scenario with what it includes, variables filled in. Raises ScenarioError with every mistake in its place.

    A variable without a value and without a default is a mistake; ``$${`` is a literal ``${``.
    """
    variables = Variables(environment)
    return variables.expanded(Inclusion(variables).document(path))
