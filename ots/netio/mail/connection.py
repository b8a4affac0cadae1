"""A connection to a mail server: dialled, with TLS from the start or once the server agrees, and timed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from ots.i18n import N_
from ots.model.outcome import Phase
from ots.netio.dial import connect_time
from ots.netio.errors import classify
from ots.netio.lines import Lines
from ots.netio.mail.account import Account
from ots.netio.mail.download import Download
from ots.netio.tls import client_context
from ots.probe import Address, Context, Failed

GOODBYE = 1.0
"""Seconds that a server gets to answer QUIT or LOGOUT."""

_ENDLESS = ("LONG_LINE", "LONG_ANSWER")

_NO_GREETING = N_(
    "If this port speaks TLS from the start, use a URL that says so: smtps://, imaps:// or pop3s://."
)


class Span(NamedTuple):
    """A phase: when it began, on the monotonic clock, and how many seconds it took."""

    start: float
    seconds: float


class Connection:
    """One connection to the server of an account.

    `phases` holds what has been timed until now, also after a failure: `tcp_connect`, `tls_handshake` (where
    TLS is there from the start), `greeting`, `starttls`, `login`.
    """

    def __init__(self, ctx: Context, account: Account) -> None:
        self.account = account
        self.phases: dict[str, Span] = {}
        self.facts: dict[str, Any] = {}
        """What was agreed, for `ctx.method`."""
        self.ready = 0.0
        """When the connection was ready for the server's greeting."""
        self.sound = True
        """Whether both sides still know where in the dialogue they are."""
        self._ctx = ctx
        self._lines: Lines | None = None

    @property
    def lines(self) -> Lines:
        assert self._lines is not None
        return self._lines

    @property
    def now(self) -> float:
        return self._ctx.clock.monotonic()

    async def dial(self, address: Address) -> None:
        """Connects, and shakes hands if the scheme says so."""
        account = self.account
        start = self.now
        sock = await self._ctx.net.dial(
            address, account.target.port or 0, account.route, timeout=account.timeout
        )
        seconds, self.facts["connect_stamps"] = connect_time(sock, self.now - start)
        self.phases["tcp_connect"] = Span(start, seconds)
        self._lines = Lines(sock, self._ctx.clock)
        self.facts["tls"] = "implicit" if account.implicit else "none"
        if account.implicit:
            with self.timing("tls_handshake"):
                await self._shake_hands()
        self.ready = self.now

    async def upgrade(self) -> None:
        """Goes on over TLS, in the middle of the dialogue."""
        await self._shake_hands()
        self.facts["tls"] = "starttls"

    async def _shake_hands(self) -> None:
        account = self.account
        context = client_context(verify=account.verify, ca_file=account.ca_file)
        stream = await self._ctx.net.tls(
            self.lines.socket, account.target.host, context, timeout=account.timeout
        )
        self.lines.upgrade(stream.socket)
        self.facts |= {"tls_version": stream.version, "tls_cipher": stream.cipher}

    @contextlib.contextmanager
    def asking(self, phase: Phase, asked: str, *, timeout: float | None = None) -> Iterator[None]:
        """Opens an answer that has to come in time; whatever goes wrong becomes one `Failed` of this phase.

        `asked` stands for the command in messages.
        """
        limit = self.account.timeout if timeout is None else timeout
        self.lines.expect(self.now + limit)
        sound, self.sound = self.sound, False
        try:
            yield
            self.sound = sound
        except Failed as failure:
            error = failure.error
            if error.code not in _ENDLESS:
                raise
            # The lines know what is wrong with them, not when.
            raise Failed(error.class_, phase, error.code, f"{asked}: {error.message}") from None
        except EOFError as error:
            raise classify(error, phase, f"{asked}: the server closed the connection") from None
        except TimeoutError as error:
            if error.errno is not None:
                raise classify(error, phase) from None
            remedy = _NO_GREETING if asked == GREETING and not self.account.implicit else None
            raise Failed(
                "timeout",
                phase,
                "TIMEOUT",
                f"{asked}: no answer within {limit:g} s",
                retryable=True,
                remedy=remedy,
            ) from None
        except OSError as error:
            raise classify(error, phase) from None

    @contextlib.contextmanager
    def timing(self, phase: str, start: float | None = None) -> Iterator[None]:
        """Times what is in the block, if it succeeds; from `start` on, if given."""
        begun = self.now if start is None else start
        yield
        self.phases[phase] = Span(begun, self.now - begun)

    @contextlib.contextmanager
    def heard(self, phase: str, start: float | None = None) -> Iterator[None]:
        """The same for what ends with a word of the server: until that was there to be read."""
        begun = self.now if start is None else start
        yield
        self.phases[phase] = Span(begun, max(0.0, self.lines.arrived - begun))

    def broken(self, error: OSError | EOFError, download: Download) -> Failed:
        """What it means that a message on its way to us breaks off."""
        if isinstance(error, TimeoutError) and error.errno is None:
            limit = self.account.timeout
            if download.first is None:
                text = f"nothing of the message within {limit:g} s"
                return Failed("timeout", "transfer", "TIMEOUT", text, retryable=True)
            text = f"no byte for {limit:g} s, {download.size} bytes after the first"
            return Failed("stalled", "transfer", "STALLED", text, retryable=True)
        text = "the server closed the connection in the middle of the message"
        return classify(error, "transfer", text if isinstance(error, EOFError) else "")

    def close(self) -> None:
        """Hangs up at once."""
        if self._lines is not None:
            self._lines.close()


GREETING = "greeting"
"""What the first answer of a server is called: nobody asked for it."""
