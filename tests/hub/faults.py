"""Network and server faults that are injected in front of the fake Hub."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fault:
    """A fault of the next ``times`` requests whose method and path match ``pattern``.

    ``kind`` is a status, or ``reset`` (the connection breaks during the request), ``lost`` (the request is executed,
    but its response is not sent), ``slow`` (the response is late), ``truncated`` (only half of the response is sent),
    or ``wrong etag``.
    """

    pattern: str
    kind: int | str
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 1.0


class Faulty:
    """An ASGI wrapper that applies ``hub.faults`` to another application and records the requests."""

    def __init__(self, application: Any, hub: Any) -> None:
        self.application, self.hub = application, hub

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        scope["path"] = scope["raw_path"].decode()  # still quoted
        request = f"{scope['method']} {scope['path']}"
        self.hub.requests.append(request)
        scope["announced"] = {*self.hub.announced}  # before a fault can delay the request
        fault = next((fault for fault in self.hub.faults if fault.times and re.search(fault.pattern, request)), None)
        if fault is None:
            await self.application(scope, receive, send)
            return
        fault.times -= 1
        transport = receive.__self__.transport  # of uvicorn: the only way to break a connection
        match fault.kind:
            case int():
                headers = [(name.encode(), value.encode()) for name, value in fault.headers.items()]
                await send({"type": "http.response.start", "status": fault.kind, "headers": headers})
                await send({"type": "http.response.body", "body": b'{"error": "injected"}'})
            case "reset":
                await receive()
                transport.abort()
            case "lost":
                await self.application(scope, receive, _discard)
                transport.abort()
            case "slow":
                await asyncio.sleep(fault.seconds)
                await self.application(scope, receive, send)
            case "truncated":
                await self.application(scope, receive, _Half(send, transport))
            case "wrong etag":
                await self.application(scope, receive, _WrongEtag(send))
            case _:
                raise ValueError(f"unknown fault: {fault.kind}")


async def _discard(message: Any) -> None:
    """Discard a message."""


class _Half:
    """Send the first half of a body, then break the connection."""

    def __init__(self, send: Any, transport: Any) -> None:
        self.send, self.transport = send, transport

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.body" and message.get("body"):
            await self.send({**message, "body": message["body"][: len(message["body"]) // 2], "more_body": True})
            self.transport.abort()
        elif not self.transport.is_closing():
            await self.send(message)


class _WrongEtag:
    """Replace the ETag by that of another file."""

    def __init__(self, send: Any) -> None:
        self.send = send

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            wrong_etag = b'"' + b"0" * 64 + b'"'
            names = (b"etag", b"x-linked-etag")
            headers = [(name, wrong_etag if name in names else value) for name, value in message["headers"]]
            message = {**message, "headers": headers}
        await self.send(message)
