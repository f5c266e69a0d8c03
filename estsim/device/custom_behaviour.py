"""A user's subclass of Behaviour: what is wrong with the class, and a check of each answer that it gives.

An answer that cannot be one, and an exception, become :class:`~estsim.errors.BehaviourFailed`, which names the class
and the line. What a class does not override is asked of :class:`Behaviour` itself, unchecked.
"""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import isfunction, signature
from math import inf, isnan, nan
from numbers import Real
from pathlib import Path
from traceback import walk_tb
from types import FunctionType
from typing import Any, Final

from estsim.device.behaviour import Behaviour
from estsim.device.faults import DeviceFault, policy_of_fault
from estsim.device.policy import AfterExpiry, Policy
from estsim.errors import BehaviourFailed, UnitError
from estsim.est.retry_after import LONGEST_S
from estsim.nearness import nearest, suggestion
from estsim.units import shown

Check = Callable[[object], Any]


def name_of(kind: type[Behaviour]) -> str:
    """Return the name of a class as a scenario writes it."""
    return f"{kind.__module__}:{kind.__name__}"


def behaviour_of(policy: Policy, kind: type[Behaviour] = Behaviour, fault: DeviceFault | None = None) -> Behaviour:
    """Return what the devices of a cohort decide by, those with a fault or the sound ones.

    A fault that is a behaviour takes the place of the user's class. Raises BehaviourFailed where that cannot be made.
    """
    faulty = policy_of_fault(policy, fault)
    if kind is Behaviour or faulty is not policy:
        return Behaviour(faulty)
    own = _asked(kind, kind.__init__, partial(kind, policy))
    checked = Behaviour(policy)
    for name, check in _CHECKS.items():
        if is_overridden(kind, name):
            vars(checked)[name] = _Checked(kind, getattr(kind, name), getattr(own, name), check)
    return checked


def is_overridden(kind: type[Behaviour], method: str) -> bool:
    """Whether a class answers otherwise than the policy does."""
    return getattr(kind, method) is not getattr(Behaviour, method)


def flaw_of(kind: object, name: str) -> str | None:
    """Return what is wrong with what ``name`` stands for, if anything: it has to be a subclass that fits."""
    if not isinstance(kind, type) or not issubclass(kind, Behaviour) or kind is Behaviour:
        return f"{shown(name)} must be a subclass of estsim.Behaviour (got {_described(kind)})"
    if (unknown := _misspelt(kind)) is not None:
        return f"{shown(name)}.{unknown} is no decision of estsim.Behaviour{suggestion(unknown, _CHECKS)}"
    for method in _CHECKS:
        own = getattr(kind, method)
        if is_overridden(kind, method):
            expected = [*signature(getattr(Behaviour, method)).parameters]
            if not isfunction(own):
                return f"{shown(name)}.{method} must be a method"
            if [*signature(own).parameters] != expected:
                return f"{shown(name)}.{method} must have the parameters ({', '.join(expected)})"
    return None


def _misspelt(kind: type[Behaviour]) -> str | None:
    """Return the name of a public method that is almost one of the decisions; other methods are the user's own."""
    own = [name for name, found in vars(kind).items() if isfunction(found) and not name.startswith("_")]
    return next((name for name in own if not hasattr(Behaviour, name) and nearest(name, _CHECKS) is not None), None)


def _described(found: object) -> str:
    return f"the class {found.__qualname__}" if isinstance(found, type) else f"an object of {type(found).__qualname__}"


class _Checked:
    """One method of a user's class, whose answers are checked."""

    __slots__ = ("_ask", "_check", "_kind", "_method")

    def __init__(self, kind: type[Behaviour], method: FunctionType, ask: Callable[..., object], check: Check) -> None:
        self._kind = kind
        self._method = method
        self._ask = ask
        self._check = check

    def __call__(self, *facts: object, **named: object) -> Any:  # noqa: ANN401 - as the method is declared
        """Return the answer; raises BehaviourFailed."""
        answer = _asked(self._kind, self._method, partial(self._ask, *facts, **named))
        try:
            return self._check(answer)
        except UnitError as error:
            raise BehaviourFailed(name_of(self._kind), _place(None, self._method), str(error)) from None
        except BaseException as error:  # an answer may have code of its own
            raise BehaviourFailed(name_of(self._kind), _place(error, self._method), type(error).__qualname__) from error


def _asked(kind: type[Behaviour], method: Callable[..., object], ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever it is
    try:
        return ask()
    except BaseException as error:  # no Ctrl-C is lost: while devices live, trio takes the signal
        raise BehaviourFailed(name_of(kind), _place(error, method), type(error).__qualname__) from error


def _place(error: BaseException | None, method: Callable[..., object]) -> str:
    """Return the innermost line in a method's file that an exception passed, otherwise where the method begins."""
    if not isinstance(method, FunctionType):
        return "an unknown location"
    code = method.__code__
    at = [(frame.f_code, line) for frame, line in walk_tb(error.__traceback__ if error else None)]
    inside = [(found.co_name, line) for found, line in at if found.co_filename == code.co_filename]
    name, line = inside[-1] if inside else (code.co_name, code.co_firstlineno)
    return f"{Path(*Path(code.co_filename).parts[-2:])}:{line} in {name}"


# -- what an answer may be


def _number(answer: object, expected: str) -> float:
    if isinstance(answer, bool) or not isinstance(answer, Real):
        raise UnitError(f"returned {type(answer).__qualname__}, expected {expected}")
    try:
        number = float(answer)
    except OverflowError:
        number = nan
    if isnan(number):
        raise UnitError(f"returned nan, expected {expected}")
    return number


def _wait(answer: object) -> float:
    number = _number(answer, _SECONDS)
    if not 0 <= number <= _LONGEST_S:
        what = "a negative number" if number < 0 else "inf" if number == inf else "a number that is too large"
        raise UnitError(f"returned {what}, expected {_SECONDS}")
    return number


def _wait_or_never(answer: object) -> float:
    return inf if answer == inf else _wait(answer)


def _time(answer: object) -> float:
    number = _number(answer, _TIME)
    if number == -inf:
        raise UnitError(f"returned -inf, expected {_TIME}")
    return number


def _yes_or_no(answer: object) -> bool:
    if not isinstance(answer, bool):
        raise UnitError(f"returned {type(answer).__qualname__}, expected True or False")
    return answer


def _after_expiry(answer: object) -> AfterExpiry:
    try:
        return AfterExpiry(str(answer))
    except ValueError:
        expected = ", ".join(AfterExpiry)
        raise UnitError(f"returned {type(answer).__qualname__}, expected one of {expected}") from None


_LONGEST_S: Final = 2 * LONGEST_S  # in nanoseconds, still a number that a row can hold
_SECONDS: Final = f"seconds from 0 to {_LONGEST_S:.0f}"
_TIME: Final = "a time in seconds, or inf for never"
_CHECKS: Final[Mapping[str, Check]] = {
    "deferral_wait": _wait,
    "gives_up_polling": _yes_or_no,
    "longest_deferral": _wait_or_never,
    "retries": _yes_or_no,
    "gives_up_retrying": _yes_or_no,
    "backoff_wait": _wait,
    "renewal_time": _time,
    "renewal_retry_wait": _wait_or_never,
    "renews_at_boot": _yes_or_no,
    "rekeys": _yes_or_no,
    "leaves_service": _yes_or_no,
    "after_expiry": _after_expiry,
    "fetches_cacerts": _yes_or_no,
    "fetches_cacerts_at_boot": _yes_or_no,
    "fetches_csrattrs": _yes_or_no,
    "enroll_deadline": _wait_or_never,
    "enrolls_at_power_up": _yes_or_no,
}
