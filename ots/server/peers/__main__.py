"""`python -m ots.server.peers`: the embedded peers in one process of their own.

Prints one line of JSON with the addresses as soon as all of them listen, and ends without a trace on SIGTERM,
SIGINT, or when its standard input closes: whoever started it need not live long enough to say goodbye.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from ots.server.peers import certificate, dns, ftp, http, pop3, smtp, udp_echo
from ots.server.peers.facility import Facility
from ots.server.peers.limits import LOOPBACK
from ots.server.peers.peer import Peer
from ots.server.peers.postboxes import Postboxes

ECHO_KEY = "OTS_UDP_ECHO_KEY"
"""The environment variable with the key that clients of the echo responder must have, if they must."""


def main(argv: Sequence[str] | None = None) -> int:
    """0, or 1 if a peer can't listen; then the reason is on stderr."""
    parser = argparse.ArgumentParser(prog="python -m ots.server.peers", description="OTS test peers")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--http-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--https-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--dns-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--ftp-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--smtp-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--pop3-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--udp-echo-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--stay", action="store_true", help="don't end when standard input closes")
    options = parser.parse_args(argv)
    try:
        asyncio.run(_serve(options))
    except OSError as error:
        sys.stderr.write(f"can't listen on {options.host}: {error}\n")
        return 1
    return 0


async def _serve(options: argparse.Namespace) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_overheard)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with contextlib.AsyncExitStack() as stack:
        context, pem = certificate.server_context(options.host)
        boxes = Postboxes()
        facility = Facility.made(LOOPBACK)
        stack.callback(facility.close)
        peers: list[Peer] = []
        for start, port in (
            (functools.partial(http.start, facility=facility), options.http_port),
            (dns.start, options.dns_port),
            (ftp.start, options.ftp_port),
            (functools.partial(http.start, tls=context, facility=facility), options.https_port),
            (functools.partial(smtp.start, boxes, context), options.smtp_port),
            (functools.partial(pop3.start, boxes), options.pop3_port),
            (functools.partial(udp_echo.start, key=os.environ.get(ECHO_KEY)), options.udp_echo_port),
        ):
            peer = await start(options.host, port)
            stack.push_async_callback(peer.close)
            peers.append(peer)
        document = {
            "host": options.host,
            "ports": {peer.name: peer.port for peer in peers},
            "certificate": pem,
        }
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()
        if not options.stay:
            # A file or /dev/null can't be waited for, and nobody can close it on us.
            with contextlib.suppress(PermissionError):
                loop.add_reader(sys.stdin.fileno(), _look_at_stdin, ended)
        await ended.wait()


def _overheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A client that leaves in the middle is no news; nobody reads what would be printed."""
    if not isinstance(context.get("exception"), ConnectionError):
        loop.default_exception_handler(context)


def _look_at_stdin(ended: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        ended.set()


if __name__ == "__main__":
    sys.exit(main())
