"""`python -m bench.ingest_server FOLDER [URL]`: the cloud server's app in one process.

With `none` as the URL nothing is stored: uploads are checked and answered as ever, but kept nowhere. What is
lost to the store is the difference.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from aiohttp import web

from ots.server.app import make_app
from ots.server.database.database import open_database
from ots.server.first_start import default_database, prepare
from ots.server.identity.tokens import TokenWish, create_token
from ots.server.reports.writer import Kept, ReportWriter, Upload
from ots.server.services import Keys, open_services


class NoStore(ReportWriter):
    """Answers at once that everything is kept."""

    async def keep(self, upload: Upload) -> Kept:
        return Kept(new=True, receipt=upload.receipt)


async def _serve(folder: Path, url: str | None) -> None:
    stored = None if url == "none" else url
    database = open_database(stored or default_database(folder))
    await prepare(database, "bench", time.time())
    services = await open_services(database, Keys.of(folder), rate_factor=1e6)
    if url == "none":
        services.reports = NoStore(database, services.grants)
    runner = web.AppRunner(make_app(services), access_log=None, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    token = await create_token(database, TokenWish(max_uses=10), actor="bench", now=time.time())
    host, port = runner.addresses[0][:2]
    sys.stdout.write(json.dumps({"host": host, "port": port, "token": token}) + "\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
