"""Bugs put into a process of estsim's from outside, whichever way it was started: a patch that Python itself loads.

A folder with a ``sitecustomize.py`` goes on ``PYTHONPATH``, which all child processes inherit. It waits until the
module is imported that has the bug, and costs a process nothing that never imports it.
"""

import os
from pathlib import Path
from typing import Final

MESSAGE: Final = "boom \x1b[31m\nforged line"  # what a bug says that was fed by a stranger

_HOOK: Final = '''
import importlib.util
import sys


class Hook:
    """Patches one module as it is loaded."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "{module}":
            return None
        sys.meta_path.remove(Hook)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            patch(module)

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Hook)


def patch(module):
{patch}
'''
_ANSWERED: Final = """
    real = module.Conversation.answered

    def answered(self, response, **times):
        if self._device in {devices}:
            raise RuntimeError({message})
        return real(self, response, **times)

    module.Conversation.answered = answered
"""


def bug_in(folder: Path, module: str, patch: str) -> dict[str, str]:
    """Return the environment of a process in which ``patch``, the indented body of a function, changes ``module``."""
    place = folder / "bug"
    place.mkdir()
    (place / "sitecustomize.py").write_text(_HOOK.format(module=module, patch=patch), encoding="utf-8")
    return {**os.environ, "PYTHONPATH": str(place)}


def bug_in_answers(folder: Path, devices: tuple[int, ...] = (3,), message: str = repr(MESSAGE)) -> dict[str, str]:
    """Return the environment of a process in which these devices meet a bug as they read any answer.

    ``message`` is an expression in terms of the conversation, ``self``.
    """
    return bug_in(folder, "estsim.device.exchange", _ANSWERED.format(devices=devices, message=message))
