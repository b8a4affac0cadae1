"""From an exception to an error class: the one place where that is decided.

The order is fixed: an explicit protocol code (a `Failed` already made), then a TLS exception, then the
system's errno, then a timer, then `internal`. The text of a message is never looked at.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl

from ots.i18n import N_
from ots.model.outcome import ErrorClass, Phase
from ots.probe import Failed

TIMER = "TIMEOUT"
"""The code of a timer of ours that ran out; the kernel's own says ETIMEDOUT."""

_BY_ERRNO: dict[int, ErrorClass] = {
    errno.ECONNREFUSED: "refused",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EHOSTDOWN: "unreachable",
    errno.ENOPROTOOPT: "unreachable",
    errno.EPERM: "permission",
    errno.EACCES: "permission",
    errno.EMFILE: "resource",
    errno.ENFILE: "resource",
    errno.ENOMEM: "resource",
    errno.ENOBUFS: "resource",
    errno.ENOSPC: "resource",
    errno.EDQUOT: "resource",
    errno.ENODEV: "config",
    errno.EADDRNOTAVAIL: "resource",
    errno.EADDRINUSE: "config",
    errno.EAFNOSUPPORT: "unsupported",
    errno.EPROTONOSUPPORT: "unsupported",
    errno.ETIMEDOUT: "timeout",
    errno.EMSGSIZE: "config",
}

_ENDED = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ENOTCONN, errno.ESHUTDOWN})
"""The peer, or something between, ended the connection."""

_REMEDY: dict[int, str] = {
    errno.EMFILE: N_("Raise the limit of open files (ulimit -n) or ask for fewer connections."),
    errno.ENFILE: N_("The machine has no file handles left: end other programs."),
    errno.EADDRNOTAVAIL: N_(
        "All local ports for it are in use: ask for fewer connections, wait a minute until old ones are "
        "forgotten, or widen net.ipv4.ip_local_port_range."
    ),
    errno.ENOSPC: N_("Free some disk space."),
    errno.ENODEV: N_("Name an interface of this machine; `ots link` lists them."),
    errno.EAFNOSUPPORT: N_("This machine has no such address family: choose the other one."),
    errno.EPERM: N_(
        "A rule of this machine forbids it: look at its firewall, or run with the right to do it."
    ),
}

_VERIFY_CODES = {
    2: "UNABLE_TO_GET_ISSUER_CERT",
    7: "CERT_SIGNATURE_FAILURE",
    9: "CERT_NOT_YET_VALID",
    10: "CERT_HAS_EXPIRED",
    18: "DEPTH_ZERO_SELF_SIGNED_CERT",
    19: "SELF_SIGNED_CERT_IN_CHAIN",
    20: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    21: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    23: "CERT_REVOKED",
    24: "INVALID_CA",
    26: "INVALID_PURPOSE",
    27: "CERT_UNTRUSTED",
    28: "CERT_REJECTED",
    62: "HOSTNAME_MISMATCH",
    64: "IP_ADDRESS_MISMATCH",
    66: "EE_KEY_TOO_SMALL",
    67: "CA_KEY_TOO_SMALL",
    68: "CA_MD_TOO_WEAK",
    79: "INVALID_CA",
}
"""OpenSSL's X509_V_ERR_… by number (openssl/x509_vfy.h)."""

_OPENSSL_TEXT = re.compile(r"\[\w+\] ([a-z0-9 ]+) \(_ssl\.c:\d+\)")
_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13|TLS)_(?:ALERT_)?(\w+)")
_NEWER_ALERTS = {"MISSING_EXTENSION": 109, "CERTIFICATE_REQUIRED": 116, "NO_APPLICATION_PROTOCOL": 120}
"""Alerts of RFC 8446 and RFC 7301 that `ssl.AlertDescription` doesn't list."""


_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})

CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"
"""How the code of a certificate that did not pass begins."""


def classify(error: BaseException, phase: Phase, message: str = "") -> Failed:
    """The `Failed` that an exception of a socket, of TLS or of a timer means in this phase.

    Some errno mean different things at different times: a reset is `connect` while connecting, `tls` during
    the handshake and `cutoff` later; EACCES is `unreachable` while connecting, for that is how the kernel
    reports a prohibiting route or ICMPv6 "administratively prohibited".
    """
    if isinstance(error, Failed):
        return error
    if isinstance(error, ssl.SSLError):
        code = tls_code(error)
        return Failed("tls", phase, code, message or _tls_text(error, code))
    if isinstance(error, socket.gaierror):
        return _of_resolver(error, message)
    if isinstance(error, TimeoutError):
        code = errno.errorcode.get(error.errno, TIMER) if error.errno else TIMER
        text = message or error.strerror or f"no answer in time (phase {phase})"
        return Failed("timeout", phase, code, text, retryable=True)
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return _of_system(error.errno, phase, message or error.strerror or errno.errorcode[error.errno])
    if isinstance(error, EOFError | ConnectionError):
        return Failed(_of_end(phase, early="protocol"), phase, "EOF", message or "the peer closed early")
    if isinstance(error, MemoryError):
        return Failed("resource", phase, "ENOMEM", message or "out of memory")
    return Failed("internal", phase, type(error).__name__, message or str(error))


def tls_code(error: ssl.SSLError) -> str:
    """`CERTIFICATE_VERIFY_FAILED: CERT_HAS_EXPIRED`, `TLS alert 40`, or OpenSSL's name of the reason."""
    if isinstance(error, ssl.SSLCertVerificationError):
        number = error.verify_code
        return f"{CERTIFICATE}: {_VERIFY_CODES.get(number, number)}"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "EOF"
    reason = error.reason or _unnamed_reason(error)
    alert = _ALERT.fullmatch(reason)
    if alert is not None:
        name = alert[1]
        known = ssl.AlertDescription.__members__.get(f"ALERT_DESCRIPTION_{name}")
        number = int(known) if known is not None else _NEWER_ALERTS.get(name, 0)
        if number:
            return f"TLS alert {number}"
    return reason or "TLS"


def _unnamed_reason(error: ssl.SSLError) -> str:
    """A reason without a name in Python, by OpenSSL's own fixed text: `[SSL] tlsv1 alert … (_ssl.c:1006)`."""
    text = _OPENSSL_TEXT.fullmatch(str(error.args[-1]) if error.args else "")
    return text[1].upper().replace(" ", "_") if text is not None else ""


def _tls_text(error: ssl.SSLError, code: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message.rstrip('.')}"
    if code == "EOF":
        return "the connection was closed during the handshake"
    reason = (error.reason or _unnamed_reason(error) or "unknown").replace("_", " ").lower()
    if code in _NOT_TLS:
        return f"the answer is not TLS ({reason})"
    return f"{code} ({reason})" if code.startswith("TLS alert") else reason


def _of_system(number: int, phase: Phase, message: str) -> Failed:
    error_class = _of_errno(number, phase)
    return Failed(
        error_class,
        phase,
        errno.errorcode[number],
        message,
        retryable=error_class in ("refused", "unreachable", "connect", "cutoff", "timeout"),
        remedy=_REMEDY.get(number),
    )


def _of_errno(number: int, phase: Phase) -> ErrorClass:
    if number in _ENDED:
        return _of_end(phase, early="cutoff")
    if phase in ("connect", "resolve") and number == errno.EACCES:
        return "unreachable"
    return _BY_ERRNO.get(number, "connect" if phase == "connect" else "internal")


def _of_end(phase: Phase, *, early: ErrorClass) -> ErrorClass:
    """What an ended connection means: `early` before content may have flowed, `cutoff` afterwards."""
    if phase in ("connect", "proxy"):
        return "connect"
    if phase == "tls":
        return "tls"
    return "cutoff" if phase in ("transfer", "verify", "teardown", "delivery", "playback") else early


def _of_resolver(error: socket.gaierror, message: str) -> Failed:
    """getaddrinfo's verdict. EAI_AGAIN stays itself: it hides whether SERVFAIL or silence was the reason."""
    number = error.errno
    text = message or error.strerror or "the name could not be resolved"
    if number == socket.EAI_MEMORY:
        return Failed("resource", "resolve", "ENOMEM", text)
    codes = {
        socket.EAI_NONAME: "NXDOMAIN",
        socket.EAI_NODATA: "NODATA",
        socket.EAI_ADDRFAMILY: "NODATA",
        socket.EAI_AGAIN: "EAI_AGAIN",
        socket.EAI_FAIL: "EAI_FAIL",
    }
    code = codes.get(number, f"EAI {number}") if number is not None else "EAI"
    return Failed("dns", "resolve", code, text, retryable=number == socket.EAI_AGAIN)
