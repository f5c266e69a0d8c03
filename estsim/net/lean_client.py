"""httpx's client without the parts that a fleet has no use for: cookies, an auth flow, redirects, the environment.

Each part is left out by what httpx documents for it. In a tight loop the cookie jar alone costs more than the exchange:
it rebuilds every request and answer in the standard library's classes.
"""

from collections.abc import AsyncGenerator, Generator
from types import TracebackType
from typing import Final

import httpx


class _NoCookies(httpx.Cookies):
    """Keeps no cookie: devices are strangers to each other, and the jar costs more than the exchange."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Ignore what the answer sets."""


class _NoAuth(httpx.Auth):
    """Sends a request as it is: how a device answers a challenge is its own business, an exchange each."""

    def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Return a flow of one step; a real async generator would pass through trio's finalizer hooks each time."""
        return _OneStep(request)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Return a flow of one step."""
        yield request


class _OneStep(AsyncGenerator[httpx.Request, httpx.Response]):
    """The generator ``yield request``, without being one."""

    __slots__ = ("_request",)

    def __init__(self, request: httpx.Request) -> None:
        self._request = request

    async def __anext__(self) -> httpx.Request:
        return self._request

    async def asend(self, _response: httpx.Response | None) -> httpx.Request:
        raise StopAsyncIteration

    async def athrow(
        self,
        _type: type[BaseException] | BaseException,
        _value: object = None,
        _traceback: TracebackType | None = None,
    ) -> httpx.Request:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        pass


_NO_COOKIES: Final = _NoCookies()


class LeanClient(httpx.AsyncClient):
    """A client that sends what it is given over one transport, and remembers nothing."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        super().__init__(transport=transport, auth=_NoAuth(), trust_env=False, follow_redirects=False, timeout=None)

    @property
    def cookies(self) -> httpx.Cookies:
        """An empty jar that stays empty."""
        return _NO_COOKIES

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        raise NotImplementedError("devices keep no cookies")


class LeanBlockingClient(httpx.Client):
    """The same client in plain blocking calls."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        super().__init__(transport=transport, auth=_NoAuth(), trust_env=False, follow_redirects=False, timeout=None)

    @property
    def cookies(self) -> httpx.Cookies:
        """An empty jar that stays empty."""
        return _NO_COOKIES

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        raise NotImplementedError("devices keep no cookies")
