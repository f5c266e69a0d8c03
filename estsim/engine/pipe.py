"""Messages between a run and its worker processes: pairs of a word and plain data, msgpack over pipes.

A pair is small or a worker report; pipes keep their order and lose nothing. The end of the stream is the other's death.
"""

from typing import Any, Final

import msgpack
import trio
from trio.abc import ReceiveStream, SendStream

Message = tuple[str, Any]

_PIECE: Final = 64 * 1024
_LARGEST: Final = (
    512 * 2**20
)  # a worker report of a second's rows is some 100 KiB, of a long stall a hundred times as much


class Pipe:
    """Both directions of one worker's pipes. Several tasks may send: a message goes out whole."""

    def __init__(self, incoming: ReceiveStream, outgoing: SendStream) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=_LARGEST)
        self._sending = trio.Lock()

    async def send(self, word: str, value: object = None) -> None:
        """Send a message, whole even where the sender is cancelled meanwhile; a dead receiver takes it silently."""
        packed = msgpack.packb((word, value))
        async with self._sending:
            with trio.CancelScope(shield=True):  # half a message would garble all that follow
                try:
                    await self._outgoing.send_all(packed)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return

    async def receive(self) -> Message | None:
        """Return the next message, None when the other has gone."""
        while True:
            for word, value in self._unpacker:
                return str(word), value
            try:
                piece = await self._incoming.receive_some(_PIECE)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
            if not piece:
                return None
            self._unpacker.feed(piece)

    async def close(self) -> None:
        """Say nothing more: to a worker that is the order to go."""
        await self._outgoing.aclose()
