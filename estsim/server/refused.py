"""A request that is answered with an error: its status, and one line for people that says what was expected."""

from estsim.errors import EstsimError
from estsim.est.messages import EstResponse


class Refused(EstsimError):  # noqa: N818 - reads as the event it is
    """A request that is answered with an error status and a readable line."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.status = status
        self.headers = headers
        super().__init__(text)

    def response(self) -> EstResponse:
        """Return the answer."""
        return text_response(self.status, str(self), self.headers)


def text_response(status: int, line: str, headers: tuple[tuple[str, str], ...] = ()) -> EstResponse:
    """Return a response with one line of text, harmless on a terminal whatever a client has put into it."""
    harmless = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return EstResponse(status, (("content-type", "text/plain; charset=utf-8"), *headers), f"{harmless}\n".encode())
