"""Which root an agent trusts: the one that its server named at enrolment, or as soon as it had one."""

from __future__ import annotations

import logging
from pathlib import Path

from ots.content.held import ROOT, Source, content_folder, content_url, pin, read_source
from ots.remote import wire
from ots.remote.client import Client, Refused
from ots.remote.membership import Membership

log = logging.getLogger("ots.remote")


async def pin_root(folder: Path, membership: Membership, client: Client, *, anew: bool) -> None:
    """Pins the server's root where none is pinned yet, or where the agent enrols `anew`; never in the place
    of one that was given by file for another source.

    Trouble with it holds nothing else back: it is asked for again with the next refresh.
    """
    url = content_url(membership.url)
    source = read_source(folder)
    pinned = source is not None and (content_folder(folder) / ROOT).exists()
    if source is not None and pinned and (source.url != url or not anew):
        return
    from ots.remote.content import SyncFailed, read_root  # TUF takes longer to load than all else here

    try:
        answer = await client.call("GET", "/agent/content")
        root = read_root(answer.read(wire.ContentRoot).root.encode())
        pin(folder, root, Source(url=url, ca=membership.ca))
    except Refused as refusal:
        if refusal.status != 404:
            log.warning("the root of the server's content was not fetched: %s", refusal)
    except (SyncFailed, OSError) as trouble:
        log.warning("the root of the server's content was not pinned: %s", trouble)
