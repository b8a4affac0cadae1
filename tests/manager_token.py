"""What a person does on the server's pages before they use its interface.

python -m tests.manager_token URL TAG FIRST    # logs in, tags every agent, prints an API token
"""

from __future__ import annotations

import asyncio
import json
import sys

from tests.cloud_kit import ADMIN_PASSWORD, Visitor


async def main(url: str, tag: str, first: dict[str, str]) -> str:
    """The token of the first account, which has every scope; FIRST is that account as the server told it."""
    async with Visitor.at(url) as visitor:
        assert (await visitor.log_in(first["name"], first["password"]))[0] == 200
        change = {"present": first["password"], "new": ADMIN_PASSWORD}
        assert (await visitor.send("PUT", "/api/v1/session/password", change))[0] == 204
        for agent in (await visitor.get("/api/v1/agents"))[1]["items"]:
            path = f"/api/v1/agents/{agent['agent_id']}"
            assert (await visitor.send("PUT", path, {"tags": [tag]}))[0] == 200
        scopes = (await visitor.get("/api/v1/session"))[1]["scopes"]
        wish = {"name": "shell", "scopes": scopes}
        return str((await visitor.send("POST", "/api/v1/api-tokens", wish))[1]["token"])


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))) + "\n")
