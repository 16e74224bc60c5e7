"""Every error this library raises, in one tree.

Each class is also the natural builtin, so ``except ValueError`` keeps working, and each message says
what was wrong, shows the offending value where that is safe, and names the remedy. No message ever
holds an API key or the password of a connection string.

::

    AIInfraError
    ├── ConfigurationError (ValueError)          an option, a path or an environment variable is wrong
    │   └── MissingDependencyError (ImportError) an optional package is not installed
    ├── InvalidInputError (ValueError)           refused before anything was done
    │   ├── InvalidMessageError (TypeError)      not a chat message we can read
    │   ├── InvalidTextError                     a lone surrogate, or NUL in a key or namespace
    │   ├── InvalidValueError                    a value that JSON cannot hold exactly
    │   ├── InvalidNamespaceError                an empty namespace or part
    │   └── InvalidFilterError                   an unknown operator or a wrong operand
    ├── ContextLengthError (ValueError)          what must stay does not fit the budget or the model's window
    ├── SummarizationError (RuntimeError)        no usable summary could be made; the input is untouched
    ├── EmbeddingError (RuntimeError)            the embedder failed; nothing was written
    │   └── EmbeddingMismatchError (ValueError)  the store holds another model or another size of vector
    ├── StorageError (OSError)                   the database or its file failed
    │   ├── StorageFullError                     no space left; what was acknowledged is safe
    │   ├── StorageCorruptError                  the file is damaged, foreign or newer than this version
    │   ├── StorageUnavailableError (ConnectionError)  the server cannot be reached
    │   ├── StorageTimeoutError (TimeoutError)   a lock, a pool or a statement took too long
    │   └── StorageClosedError                   used after close()
    ├── ConflictError (RuntimeError)             somebody else changed it first: read again, then retry
    ├── LLMError (RuntimeError)                  the model's service failed
    │   ├── AuthenticationError (PermissionError) no key, a wrong key, or no access to the model
    │   ├── RateLimitError                       too many requests; retried already
    │   │   └── QuotaExceededError               the account is out of credit; a retry cannot help
    │   ├── LLMConnectionError (ConnectionError) unreachable, or the connection broke
    │   │   └── StreamInterruptedError           the stream ended before the model had finished
    │   ├── LLMTimeoutError (TimeoutError)       the deadline passed
    │   └── LLMResponseError                     an answer that makes no sense, or was filtered or cut
    └── AgentError (RuntimeError)                an agent's run could not be finished
        ├── MaxStepsError                        the model kept calling tools
        └── SessionNotFoundError (KeyError)      no such session
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "AIInfraError",
    "AgentError",
    "AuthenticationError",
    "ConfigurationError",
    "ConflictError",
    "ContextLengthError",
    "EmbeddingError",
    "EmbeddingMismatchError",
    "InvalidFilterError",
    "InvalidInputError",
    "InvalidMessageError",
    "InvalidNamespaceError",
    "InvalidTextError",
    "InvalidValueError",
    "LLMConnectionError",
    "LLMError",
    "LLMResponseError",
    "LLMTimeoutError",
    "MaxStepsError",
    "MissingDependencyError",
    "QuotaExceededError",
    "RateLimitError",
    "SessionNotFoundError",
    "StorageClosedError",
    "StorageCorruptError",
    "StorageError",
    "StorageFullError",
    "StorageTimeoutError",
    "StorageUnavailableError",
    "StreamInterruptedError",
    "SummarizationError",
]


class AIInfraError(Exception):
    """The base of every error of this library."""

    def __str__(self) -> str:
        # KeyError and OSError print their arguments in ways of their own; we always print the message.
        return str(self.args[0]) if self.args else ""


class ConfigurationError(AIInfraError, ValueError):
    """An option, a path or an environment variable is missing or wrong."""


class MissingDependencyError(ConfigurationError, ImportError):
    """An optional package is needed and not installed; the message has the ``pip install`` line."""


class InvalidInputError(AIInfraError, ValueError):
    """The input was refused before anything was done with it."""


class InvalidMessageError(InvalidInputError, TypeError):
    """Something in a message list is not a chat message we can read."""


class InvalidTextError(InvalidInputError):
    """Text that cannot be stored: a lone surrogate anywhere, or NUL in a key or namespace."""


class InvalidValueError(InvalidInputError):
    """A value that JSON cannot hold exactly; the message names the path inside it."""


class InvalidNamespaceError(InvalidInputError):
    """An empty namespace, or one with an empty part."""


class InvalidFilterError(InvalidInputError):
    """A search filter with an unknown operator or an operand it cannot take."""


class ContextLengthError(AIInfraError, ValueError):
    """What must stay in the prompt does not fit.

    Attributes:
        budget: the limit in tokens, when it is known.
        needed: the tokens that the part which must stay takes, when it is known.
    """

    def __init__(self, message: str, *, budget: int | None = None, needed: int | None = None) -> None:
        super().__init__(message)
        self.budget = budget
        self.needed = needed


class SummarizationError(AIInfraError, RuntimeError):
    """No usable summary could be made. The messages passed in are untouched; ``__cause__`` has the reason."""


class EmbeddingError(AIInfraError, RuntimeError):
    """The embedding service failed or answered nonsense; nothing was written.

    Attributes:
        inputs: the positions, in the list of texts, of those that could not be embedded.
    """

    def __init__(self, message: str, *, inputs: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.inputs = tuple(inputs)

    def __str__(self) -> str:
        if not self.inputs:
            return super().__str__()
        shown = ", ".join(map(str, self.inputs[:10]))
        more = f" and {len(self.inputs) - 10} more" if len(self.inputs) > 10 else ""
        return f"{super().__str__()} (input {shown}{more})"


class EmbeddingMismatchError(EmbeddingError, ValueError):
    """The store holds vectors of another model or size than the embedder makes."""


class StorageError(AIInfraError, OSError):
    """The database or its file failed."""


class StorageFullError(StorageError):
    """No space is left. Everything acknowledged before is safe."""


class StorageCorruptError(StorageError):
    """The file is damaged, belongs to another program, or was written by a newer version."""


class StorageUnavailableError(StorageError, ConnectionError):
    """The database server cannot be reached."""


class StorageTimeoutError(StorageError, TimeoutError):
    """A lock, a connection pool or a statement took longer than allowed."""


class StorageClosedError(StorageError):
    """The store was used after ``close()``."""


class ConflictError(AIInfraError, RuntimeError):
    """Somebody else changed the same thing first; read it again, then retry."""


class LLMError(AIInfraError, RuntimeError):
    """The model's service failed.

    Attributes:
        status: the HTTP status, when there was one; of an error inside an answer of status 200 the code it names, where
            that is a status.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class AuthenticationError(LLMError, PermissionError):
    """No API key, a wrong one, or one without access to the model."""


class RateLimitError(LLMError):
    """Too many requests, still after the retries."""


class QuotaExceededError(RateLimitError):
    """The account has no credit left. Never retried."""


class LLMConnectionError(LLMError, ConnectionError):
    """The service cannot be reached, or the connection broke."""


class StreamInterruptedError(LLMConnectionError):
    """A streamed answer ended before the model had finished it."""


class LLMTimeoutError(LLMError, TimeoutError):
    """The deadline for the whole call passed."""


class LLMResponseError(LLMError):
    """The service answered, but with something that is no usable answer."""


class AgentError(AIInfraError, RuntimeError):
    """An agent's run could not be finished."""


class MaxStepsError(AgentError):
    """The model kept calling tools past ``max_steps``."""


class SessionNotFoundError(AgentError, KeyError):
    """There is no session with this id."""
