"""A request that is answered with an error: its status, and one line for people that says what was expected."""

from typing import Final

from estsim.errors import EstsimError
from estsim.est.messages import EstResponse
from estsim.units import harmless

_LONGEST: Final = 500  # characters: what is repeated of a client's may be 16 KiB, and stands in the log as well


class Refused(EstsimError):  # noqa: N818 - reads as the event it is
    """A request that is answered with an error status and a readable line, whatever of the client's is in it."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.status = status
        self.headers = headers
        super().__init__(harmless(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"))

    def response(self) -> EstResponse:
        """Return the answer."""
        return text_response(self.status, str(self), self.headers)


def text_response(status: int, line: str, headers: tuple[tuple[str, str], ...] = ()) -> EstResponse:
    """Return a response with one line of text, harmless on a terminal whatever a client has put into it."""
    return EstResponse(
        status, (("content-type", "text/plain; charset=utf-8"), *headers), f"{harmless(line)}\n".encode()
    )
