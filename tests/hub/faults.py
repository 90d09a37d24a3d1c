"""What can go wrong on the way to the Hub and back, planted in front of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fault:
    """Happens to the next ``times`` requests whose method and path ``where`` is found in.

    ``what`` is a status, or ``reset`` (the connection breaks while the request comes in), ``lost`` (the request is
    carried out and its answer is not sent), ``slow`` (the answer comes late), ``truncated`` (it breaks off half way),
    or ``wrong etag``.
    """

    where: str
    what: int | str
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 1.0


class Faulty:
    """An ASGI application that breaks another one as ``hub.faults`` says, and writes down what it was asked."""

    def __init__(self, application: Any, hub: Any) -> None:
        self.application, self.hub = application, hub

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        scope["path"] = scope["raw_path"].decode()  # still quoted
        asked = f"{scope['method']} {scope['path']}"
        self.hub.requests.append(asked)
        scope["told"] = {*self.hub.told}  # before a fault may delay it
        fault = next((one for one in self.hub.faults if one.times and re.search(one.where, asked)), None)
        if fault is None:
            await self.application(scope, receive, send)
            return
        fault.times -= 1
        transport = receive.__self__.transport  # uvicorn's own, the only way to break a connection
        match fault.what:
            case int():
                headers = [(name.encode(), value.encode()) for name, value in fault.headers.items()]
                await send({"type": "http.response.start", "status": fault.what, "headers": headers})
                await send({"type": "http.response.body", "body": b'{"error": "planted"}'})
            case "reset":
                await receive()
                transport.abort()
            case "lost":
                await self.application(scope, receive, _nowhere)
                transport.abort()
            case "slow":
                await asyncio.sleep(fault.seconds)
                await self.application(scope, receive, send)
            case "truncated":
                await self.application(scope, receive, _Half(send, transport))
            case "wrong etag":
                await self.application(scope, receive, _WrongEtag(send))
            case _:
                raise ValueError(f"no fault is called {fault.what}")


async def _nowhere(message: Any) -> None:
    """Drop a message."""


class _Half:
    """Sends the first half of a body and breaks the connection."""

    def __init__(self, send: Any, transport: Any) -> None:
        self.send, self.transport = send, transport

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.body" and message.get("body"):
            await self.send({**message, "body": message["body"][: len(message["body"]) // 2], "more_body": True})
            self.transport.abort()
        elif not self.transport.is_closing():
            await self.send(message)


class _WrongEtag:
    """Sends what another file's ETag would be."""

    def __init__(self, send: Any) -> None:
        self.send = send

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            wrong = b'"' + b"0" * 64 + b'"'
            names = (b"etag", b"x-linked-etag")
            headers = [(name, wrong if name in names else value) for name, value in message["headers"]]
            message = {**message, "headers": headers}
        await self.send(message)
