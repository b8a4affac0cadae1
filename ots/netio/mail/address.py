"""Mail addresses as they may stand in a command of SMTP."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

_DOMAIN = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?"
_LITERAL = r"\[[0-9A-Fa-f.:IPv]{2,50}\]"
_ADDRESS = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@(?:{_DOMAIN}|{_LITERAL})")
"""RFC 5321 section 4.1.2 without quoted local parts: nothing in it can end a command."""


def _address(text: str) -> str:
    if _ADDRESS.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no mail address: write name@mail.example")
    return text


MailAddress = Annotated[str, AfterValidator(_address), WithJsonSchema({"type": "string", "format": "email"})]
