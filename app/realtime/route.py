"""``GET /realtime``: the handshake. Origin first, subprotocol if offered, then the socket talks for itself."""

from fastapi import APIRouter, WebSocket
from starlette.responses import Response

from app.realtime.server import TRANSPORT, SocketProtocol
from app.realtime.socket import Live, Socket

PATH = "/api/v1/realtime"
SUBPROTOCOL = "overlegtafel.v1"
router = APIRouter()


@router.websocket(PATH)
async def realtime(websocket: WebSocket) -> None:
    """Carry one socket; its first frame redeems a ticket of ``POST /realtime-tickets``."""
    live: Live = websocket.app.state.live
    origins = websocket.headers.getlist("origin")
    if origins and (len(origins) > 1 or origins[0] not in websocket.app.state.services.settings.origins):
        await websocket.send_denial_response(Response(status_code=403))
        return
    transport = websocket.scope["extensions"].get(TRANSPORT)
    if not isinstance(transport, SocketProtocol):
        raise TypeError("the socket needs app.realtime.server:SocketProtocol under uvicorn")
    socket = Socket(live, transport, websocket.client.host if websocket.client else None)
    transport.on_text = socket.received
    transport.on_writable = socket.flush
    transport.on_drain = socket.drain
    transport.on_gone = socket.gone
    offered = SUBPROTOCOL in websocket.scope["subprotocols"]
    await websocket.accept(subprotocol=SUBPROTOCOL if offered else None)
