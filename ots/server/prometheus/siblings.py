"""The figures of all processes of one server, whichever of them is asked.

Each process answers its siblings on a socket of its own, on the loopback interface, to whoever knows a secret
that only they were born with. Nothing is added up: a counter stays its process's, so that one which is
started again doesn't look as if all had fallen.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

LABEL = "process"
_PATIENCE = 1.0
_MOST = 8 << 20


class Siblings:
    """The sockets of `count` processes; made before they are forked."""

    def __init__(self, count: int) -> None:
        self._secret = secrets.token_bytes(32)
        self._listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()

    @contextlib.asynccontextmanager
    async def answering(self, number: int, registry: CollectorRegistry) -> AsyncIterator[None]:
        """Process `number` tells its siblings its figures, as long as the block lasts."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    asked = await reader.readexactly(len(self._secret))
                    if hmac.compare_digest(asked, self._secret):
                        writer.write(json.dumps([_plain(metric) for metric in registry.collect()]).encode())
                        await writer.drain()
            writer.close()

        # The socket goes on to be the parent's, for the process that takes this one's place.
        server = await asyncio.start_server(answer, sock=self._listeners[number].dup())
        try:
            yield
        finally:
            server.close()

    async def together(self, number: int, registry: CollectorRegistry) -> Collector:
        """The figures of all that answer in time, labelled with their numbers; process `number` asks."""
        others = [other for other in range(len(self._listeners)) if other != number]
        told = await asyncio.gather(*(self._ask(other) for other in others))
        found = {number: [_plain(metric) for metric in registry.collect()]}
        found |= {other: metrics for other, metrics in zip(others, told, strict=True) if metrics is not None}
        return _Merged(found)

    async def _ask(self, number: int) -> list[Any] | None:
        try:
            async with asyncio.timeout(_PATIENCE):
                reader, writer = await asyncio.open_connection(*self._listeners[number].getsockname()[:2])
                try:
                    writer.write(self._secret)
                    text = await reader.read(_MOST)
                    while chunk := await reader.read(_MOST):
                        text += chunk
                finally:
                    writer.close()
            told: list[Any] = json.loads(text)
            return told
        except (OSError, TimeoutError, ValueError):
            return None


class _Merged(Collector):
    """Families of several processes, each of them once."""

    def __init__(self, told: dict[int, list[Any]]) -> None:
        self._told = told

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for number, metrics in sorted(self._told.items()):
            for name, documentation, kind, samples in metrics:
                family = families.setdefault(name, Metric(name, documentation, kind))
                for sample, labels, value, time in samples:
                    family.add_sample(sample, {**labels, LABEL: str(number)}, value, time)
        yield from families.values()


def _plain(metric: Metric) -> tuple[str, str, str, list[tuple[str, dict[str, str], float, Any]]]:
    samples: Iterable[Any] = metric.samples
    return (
        metric.name,
        metric.documentation,
        metric.type,
        [(sample.name, sample.labels, sample.value, sample.timestamp) for sample in samples],
    )
