"""Brings the signed content up to date: verified by python-tuf, and put into use only as a whole.

What is in use stays whatever happens here: no network, a host that lies, a full disk, a kill. See
ots.content.held for what lies where.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tuf.api import exceptions as tuf
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater, UpdaterConfig

from ots.clock import rfc3339
from ots.config.whole_file import write_whole
from ots.content import held as kept
from ots.content.held import Attempt, Held, HeldCase, Source, content_folder
from ots.content.layout import (
    CASES,
    DELEGATED,
    LICENCES,
    LICENCES_PATH,
    MOST_CASES,
    SERVERS,
    SERVERS_PATH,
    case_name,
    limit_of,
)
from ots.remote.answering import any_answers
from ots.remote.client import AddressError, Patience
from ots.remote.fetching import USUAL, Fetcher
from ots.remote.licence_content import take_licences
from ots.reports.plain import plain
from ots.store.liveness import FileLock

SYNC_EVERY = 6 * 3600.0
"""Seconds between two synchronisations of a resident agent, give or take a quarter."""

MOST_BYTES = 64 << 20
WHOLE_LIMIT = 900.0
_FAR_OFF = 300.0
_LIMITS = UpdaterConfig(
    max_root_rotations=256,
    max_delegations=len(DELEGATED) + 1,
    root_max_length=64 << 10,
    timestamp_max_length=16 << 10,
    snapshot_max_length=64 << 10,
    targets_max_length=4 << 20,
)
log = logging.getLogger("ots.remote")


class SyncFailed(Exception):
    """Nothing was taken over; what was in use is. `code` is why for a machine, `remedy` what would help.

    Codes: no-trust, busy, unreachable, missing, refused, timeout, too-large, expired, rolled-back,
    tampered, malformed, disk-full, not-written.
    """

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Synced:
    """A synchronisation that went well. `troubles` are what was left as it was, and why."""

    held: Held
    changed: bool
    added: tuple[HeldCase, ...] = ()
    gone: tuple[HeldCase, ...] = ()
    bytes_received: int = 0
    troubles: list[str] = field(default_factory=list)


def check_source(url: str) -> str:
    """Where a repository is served, in the form that is kept. Raises AddressError."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        _ = parts.port
    except ValueError:
        fine = False
    if not fine or parts.query or parts.fragment or any(ord(char) < 33 for char in url):
        raise AddressError("this is no place of signed content", "Write https://HOST[:PORT]/content/.")
    return url if url.endswith("/") else f"{url}/"


def read_root(data: bytes) -> bytes:
    """A root that can be pinned. Raises SyncFailed for anything else."""
    try:
        found = Metadata[Root].from_bytes(data)
        found.signed.verify_delegate(Root.type, found.signed_bytes, found.signatures)
    except (tuf.RepositoryError, AttributeError) as error:
        raise SyncFailed(
            "malformed", f"this is no root of signed content: {error}", "Name the file 1.root.json."
        ) from None
    return data


def pause(chance: Callable[[], float] = random.random) -> float:
    """Seconds until a resident agent synchronises again: six hours, give or take a quarter."""
    return SYNC_EVERY * (0.75 + chance() / 2)


async def sync(data: Path, *, patience: Patience = USUAL, wall: Callable[[], float] = time.time) -> Synced:
    """Takes over what is new from where this installation's content comes. Raises SyncFailed.

    `data` is the data folder. How it went is kept in `content/attempt.json` either way.
    """
    source = kept.read_source(data)
    try:
        root = (content_folder(data) / kept.ROOT).read_bytes()
    except OSError:
        source, root = None, b""
    if source is None:
        raise SyncFailed(
            "no-trust",
            "nobody has said where signed content comes from",
            "Enrol with a server that has some, or: ots cases sync --from URL --root FILE",
        )
    lock = FileLock.take(content_folder(data) / ".lock")
    if lock is None:
        raise SyncFailed("busy", "another process synchronises at this moment", "Wait for it.")
    try:
        found = await _synchronise(data, source, root, patience, wall)
    except SyncFailed as failure:
        with contextlib.suppress(OSError):
            kept.note_attempt(data, Attempt(at=wall(), code=failure.code, message=str(failure)))
        raise
    finally:
        lock.release()
    return found


async def _synchronise(
    data: Path, source: Source, root: bytes, patience: Patience, wall: Callable[[], float]
) -> Synced:
    before = kept.read_held(data)
    if before is not None and before.url != source.url:
        before.etag = None
    try:
        async with Fetcher(source, patience) as fetcher:
            try:
                async with asyncio.timeout(WHOLE_LIMIT):
                    new = await _in_thread(
                        fetcher, lambda: _take(data, source, root, fetcher, before, wall())
                    )
            except Exception as error:
                explained = _explain(error, fetcher)
                if explained is None:
                    raise
                raise explained from None
            new.etag = fetcher.etag or (before.etag if before is not None else None)
            received = fetcher.bytes_received
        troubles: list[str] = []
        new.servers = await _adopt_servers(data, new.servers, before, troubles)
        take_licences(data, new.licences, troubles)
        if before is not None and _same(before, new):
            new.changed_at = before.changed_at
        kept.write_held(data, new)
        kept.note_attempt(data, Attempt(at=new.checked_at))
        _sweep(data, new, before)
    except OSError as error:
        explained = _explain(error, None)
        assert explained is not None
        raise explained from None
    was = {} if before is None else {one.sha256: one for one in before.cases}
    now = {one.sha256: one for one in new.cases}
    return Synced(
        held=new,
        changed=before is None or not _same(before, new),
        added=tuple(one for sha, one in now.items() if sha not in was),
        gone=tuple(one for sha, one in was.items() if sha not in now),
        bytes_received=received,
        troubles=troubles,
    )


async def _in_thread(fetcher: Fetcher, work: Callable[[], Held]) -> Held:
    """Runs the updater beside the loop; where this is cancelled, its requests end and it with them."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await fetcher.close()
        await asyncio.wait([task])
        task.exception()
        raise


def _take(data: Path, source: Source, root: bytes, fetcher: Fetcher, before: Held | None, now: float) -> Held:
    """Everything that is published, verified and on this disk, but not in use yet."""
    folder = content_folder(data)
    metadata, targets = folder / "metadata", folder / "targets"
    for place in (metadata, targets):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in (*metadata.glob("tmp*"), *targets.glob(".*")):
        left.unlink(missing_ok=True)  # of one that was killed
    if before is not None and before.etag is not None and (metadata / "timestamp.json").exists():
        fetcher.expect(
            f"{source.url}metadata/timestamp.json", before.etag, (metadata / "timestamp.json").read_bytes()
        )
    updater = Updater(
        str(metadata),
        f"{source.url}metadata/",
        target_base_url=f"{source.url}targets/",
        fetcher=fetcher,
        config=_LIMITS,
        bootstrap=root,
    )
    updater.refresh()
    top, snapshot = _read(metadata, "targets", Targets), _read(metadata, "snapshot", Snapshot)
    delegated = set() if top.delegations is None or top.delegations.roles is None else top.delegations.roles
    roles: dict[str, Targets] = {}
    for role in DELEGATED:
        if role in delegated:
            updater.get_targetinfo(f"{role}/-")  # there is none, but to say so it loads the role
            roles[role] = _read(metadata, role, Targets)
            if roles[role].version != snapshot.meta[f"{role}.json"].version:
                raise tuf.RepositoryError(f"{role} may not sign what lies in its folder")
    parts = {
        "root": _read(metadata, "root", Root),
        "timestamp": _read(metadata, "timestamp", Timestamp),
        "snapshot": snapshot,
        "targets": top,
        **roles,
    }
    versions = {role: part.version for role, part in parts.items()}
    if before is not None:
        _refuse_older(before.versions, versions)
    cases = _cases_of(roles.get(CASES))
    wanted = [info for info, _case in cases]
    documents = {}
    for role, path in ((SERVERS, SERVERS_PATH), (LICENCES, LICENCES_PATH)):
        info = roles[role].targets.get(path) if role in roles else None
        if info is not None:
            wanted.append(info)
            documents[role] = info.hashes["sha256"]
    _refuse_too_much(wanted)
    for info in wanted:
        _fetch(updater, info, targets)
    return Held(
        url=source.url,
        changed_at=now,
        checked_at=now,
        fresh_until=min(part.expires.timestamp() for part in parts.values()),
        versions=versions,
        cases=[case for _info, case in cases],
        servers=documents.get(SERVERS),
        licences=documents.get(LICENCES),
    )


def _read(metadata: Path, role: str, kind: type[Any]) -> Any:
    """What the updater has verified and kept of a role."""
    return Metadata[Any].from_bytes((metadata / f"{role}.json").read_bytes()).signed


def _cases_of(role: Targets | None) -> list[tuple[TargetFile, HeldCase]]:
    """The cases that are in force, with where they lie."""
    found = []
    for path, info in sorted({} if role is None else role.targets.items()):
        name = case_name(path)
        said: Mapping[str, Any] = info.custom if isinstance(info.custom, dict) else {}
        if name is None or said.get("withdrawn"):
            continue
        case = HeldCase(
            id=name.id,
            version=name.version,
            sha256=info.hashes.get("sha256", ""),
            title=plain(str(said.get("title", ""))[:200]),
            heavy=bool(said.get("heavy")),
        )
        found.append((info, case))
    if len(found) > MOST_CASES:
        raise SyncFailed("too-large", f"more than {MOST_CASES} cases are published", "Withdraw old ones.")
    return found


def _refuse_older(floor: Mapping[str, int], versions: Mapping[str, int]) -> None:
    """Nothing is older than what was in use, also where the updater's own memory was lost.

    After a new root this is the updater's business alone: new keys may count anew (TUF, fast-forward
    attacks).
    """
    for role, version in versions.items():
        if version < floor.get(role, 0) and (role == "root" or versions["root"] == floor.get("root")):
            raise tuf.BadVersionNumberError(f"{role} has version {version}, and {floor[role]} was in use")


def _refuse_too_much(wanted: list[TargetFile]) -> None:
    for info in wanted:
        if info.length > limit_of(info.path) or "sha256" not in info.hashes:
            raise SyncFailed(
                "too-large", f"{info.path} is announced with {info.length} B", "Tell who publishes it."
            )
    total = sum(info.length for info in wanted)
    if total > MOST_BYTES:
        raise SyncFailed(
            "too-large", f"{total} B are published, {MOST_BYTES} are taken", "Withdraw old cases."
        )


def _fetch(updater: Updater, info: TargetFile, targets: Path) -> None:
    """One file to its place, named by its hash, unless it lies there whole."""
    place = targets / info.hashes["sha256"]
    try:
        info.verify_length_and_hashes(place.read_bytes())
        return
    except (FileNotFoundError, tuf.LengthOrHashMismatchError):
        pass
    arriving = targets / ".arriving"
    updater.download_target(info, str(arriving))
    write_whole(place, arriving.read_bytes())
    arriving.unlink()


async def _adopt_servers(
    data: Path, offered: str | None, before: Held | None, troubles: list[str]
) -> str | None:
    """The hash of the server list in use: the new one's once one of its servers has answered."""
    from ots.netio.speed.server_list import BadList, parse

    place = kept.servers_file(data)
    present = None if before is None else before.servers
    if offered is None:
        place.unlink(missing_ok=True)
        return None
    if offered == present and place.exists():
        return present
    text = kept.read_target(data, offered, limit_of(SERVERS_PATH))
    try:
        servers = parse(text, SERVERS_PATH).servers
    except BadList as error:
        troubles.append(f"the server list is not used: {error}")
        return present
    if servers and not await any_answers([server.url for server in servers]):
        troubles.append("the new server list is not used yet: none of its servers answers")
        return present
    write_whole(place, text)
    return offered


def _same(before: Held, new: Held) -> bool:
    return (before.url, before.cases, before.servers, before.licences) == (
        new.url,
        new.cases,
        new.servers,
        new.licences,
    )


def _sweep(data: Path, new: Held, before: Held | None) -> None:
    """Deletes what neither this whole nor the one before it names: a run may still read that one."""
    used = {one.sha256 for one in (*new.cases, *(before.cases if before is not None else ()))}
    used |= {new.servers or "", new.licences or ""}
    for path in (content_folder(data) / "targets").iterdir():
        if path.name not in used:
            path.unlink(missing_ok=True)


_TRY = "It is tried again; what is held stays in use."
_ASK = "Ask who runs the server; what is held stays in use."


def _explain(error: Exception, fetcher: Fetcher | None) -> SyncFailed | None:
    """What an error of the updater means; None for one that is a fault of this program."""
    match error:
        case SyncFailed():
            return error
        case tuf.DownloadHTTPError(status_code=404):
            return SyncFailed("missing", str(error), _ASK)
        case tuf.DownloadHTTPError():
            return SyncFailed("refused", str(error), _TRY)
        case tuf.DownloadLengthMismatchError():
            return SyncFailed("too-large", f"the answer is longer than was announced: {error}", _ASK)
        case tuf.SlowRetrievalError() | TimeoutError():
            return SyncFailed("timeout", str(error) or "it took too long", _TRY)
        case tuf.DownloadError() | AddressError():
            return SyncFailed("unreachable", str(error), _TRY)
        case tuf.ExpiredMetadataError():
            return SyncFailed("expired", *_expired(error, fetcher))
        case tuf.BadVersionNumberError():
            return SyncFailed("rolled-back", f"something older is offered: {error}", _ASK)
        case tuf.LengthOrHashMismatchError() | tuf.UnsignedMetadataError():
            return SyncFailed("tampered", f"this is not what was signed: {error}", _ASK)
        case tuf.RepositoryError() | kept.DamagedContent():
            return SyncFailed("malformed", f"the repository can't be used: {error}", _ASK)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EFBIG):
            return SyncFailed("disk-full", "no space is left for signed content", "Free some space.")
        case OSError():
            return SyncFailed(
                "not-written",
                f"the content folder can't be used: {error.strerror or error}",
                "Give yourself the right to it.",
            )
        case _:
            return None


def _expired(error: Exception, fetcher: Fetcher | None) -> tuple[str, str]:
    offset = None if fetcher is None else fetcher.clock_offset
    if offset is not None and abs(offset) > _FAR_OFF:
        ours, theirs = rfc3339(time.time())[:19], rfc3339(time.time() + offset)[:19]
        message = f"{error}: but this machine's clock says {ours}Z and the server's {theirs}Z"
        return message, "Set this machine's clock."
    return f"{error}: the server repeats something old, or nobody renews it", _ASK
