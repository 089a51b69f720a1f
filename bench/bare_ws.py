"""Floor: a bare ASGI WebSocket application. Every text frame it receives makes it send one ready frame to all."""

import os
from typing import Any

FRAME = {
    "type": "websocket.send",
    "text": "message.posted".ljust(int(os.environ.get("BENCH_FRAME_BYTES", "700")), "x"),
}

_sends: set[Any] = set()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:  # ASGI's own shapes
    """Accept, then broadcast on each frame."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    _sends.add(send)
    try:
        while (await receive())["type"] == "websocket.receive":
            for each in _sends.copy():
                await each(FRAME)
    finally:
        _sends.discard(send)
