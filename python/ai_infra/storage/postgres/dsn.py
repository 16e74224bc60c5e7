"""Connection strings: read once, with errors that cannot hold a password."""

from __future__ import annotations

import re
from typing import Any

from ai_infra._secrets import without_secrets
from ai_infra.errors import ConfigurationError, MissingDependencyError

_HOW = (
    "write postgresql://user:password@host:5432/database, with special characters of the password "
    "percent-encoded (/ as %2F, @ as %40, % as %25, a space as %20)"
)


def require_psycopg() -> Any:
    """The psycopg module.

    Raises:
        MissingDependencyError: it, or its pool, is not installed.
    """
    try:
        import psycopg
        import psycopg_pool  # noqa: F401
    except ImportError:
        missing = True
    else:
        return psycopg
    assert missing
    raise MissingDependencyError(
        'PostgreSQL needs psycopg and its pool: pip install "ai-infra-memory[postgres]"'
    )


class Dsn:
    """A connection string that was read; its ``repr`` and its texts hold no secret."""

    def __init__(self, text: Any) -> None:
        psycopg = require_psycopg()
        if not isinstance(text, str) or not text.strip():
            kind = "empty" if isinstance(text, str) else f"{type(text).__name__}, not text"
            raise ConfigurationError(
                f"the connection string is {kind}; {_HOW}, such as os.environ['DATABASE_URL']"
            )
        # The form of SQLAlchemy's URLs, postgresql+driver://, names the same server.
        plain = re.sub(r"^postgres(?:ql)?\+\w+://", "postgresql://", text.strip())
        parts: dict[str, Any] | None
        try:
            parts = psycopg.conninfo.conninfo_to_dict(plain)
        except (psycopg.Error, UnicodeError, ValueError):
            # libpq's message may quote the part it stumbled over, and that may be the password.
            parts = None
        reason = "it cannot be parsed" if parts is None else _fault(plain, parts)
        if reason or parts is None:
            raise ConfigurationError(
                f"the connection string is wrong ({reason}; it is not shown here); {_HOW}"
            )
        self.parameters = parts
        self._secrets = [secret for secret in (parts.get("password"), parts.get("sslpassword")) if secret]

    @property
    def name(self) -> str:
        """The server and database, for messages."""
        parts = self.parameters
        host = parts.get("host") or parts.get("hostaddr") or "the local socket"
        port = f":{parts['port']}" if parts.get("port") else ""
        return f"{host}{port}/{parts.get('dbname') or ''}"

    @property
    def identity(self) -> tuple[tuple[str, str], ...]:
        """Equal for strings that say the same."""
        return tuple(sorted((key, str(value)) for key, value in self.parameters.items()))

    def scrub(self, text: str) -> str:
        """``text`` without the password, should it be in there."""
        return without_secrets(text, map(str, self._secrets), "***")

    def __repr__(self) -> str:
        return f"Dsn({self.name!r})"


def _fault(text: str, parts: dict[str, Any]) -> str | None:
    """What is wrong with what libpq took the string for: most often a password with a special character."""
    for port in str(parts.get("port") or "5432").split(","):
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            return "its port is no number"
    for name in ("host", "hostaddr"):
        if re.search(r"[@\s%:]", _hosts(str(parts.get(name) or ""))):
            return f"its {name} holds a character that no host name has"
    if "://" in text and text.count("@") > 1:
        return "it holds more than one @"
    for name in ("dbname", "user"):
        if re.search(r"[@\x00]|://", str(parts.get(name) or "")) and "://" in text and name == "dbname":
            return "its database name holds an @"
    return None


def _hosts(hosts: str) -> str:
    # Paths of sockets and IPv6 addresses may hold anything.
    return ",".join(
        h for h in hosts.split(",") if not h.startswith(("/", "@")) and "::" not in h and h.count(":") < 2
    )
