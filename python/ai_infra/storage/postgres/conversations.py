"""Conversations on PostgreSQL: messages, metadata and vectors of passages. See ``sql/conversations.sql``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ai_infra._core import ConversationIndex, pack_vectors, unpack_vectors
from ai_infra._flow import Flow
from ai_infra.errors import EmbeddingMismatchError
from ai_infra.storage.conversations import Changes, Head, Picked, Put, State, Stored, Totals, Write
from ai_infra.storage.postgres.base import PostgresBase
from ai_infra.storage.postgres.work import Ask, Script, work


class PostgresConversationBackend(PostgresBase):
    """Conversations of users in a PostgreSQL database; arguments as for ``PostgresBase``."""

    def __init__(self, dsn: str, **options: Any) -> None:
        super().__init__(dsn, "conversations.sql", **options)

    # Writing ------------------------------------------------------------------------------------------------

    def put(self, writes: Sequence[Write], model: str, now: int) -> Flow[list[Put]]:
        """Store all or none."""
        if not writes:
            return []

        def script() -> Script[list[Put]]:
            users: dict[str, int] = {}
            # In one order, so that two batches cannot wait for each other.
            for user in sorted({write.user_id for write in writes}):
                rows = yield from self._run("lock_user", user=user, now=now)
                users[user], at = rows[0]
            yield from self._adopt(model)
            done = []
            for write in writes:
                done.append((yield from self._put_one(write, users[write.user_id], at)))
            return done

        return (yield from self._work(script, atomic=True))

    def _put_one(self, write: Write, user_ref: int, at: int) -> Script[Put]:
        place = {"user_ref": user_ref, "session": write.session_id}
        rows = yield from self._run("found", **place)
        found = rows[0] if rows else None
        held: list[str] = found[10] if found else []
        differ = [n for n, text in enumerate(write.messages) if n >= len(held) or held[n] != text]
        changed = len(differ) + max(0, len(held) - len(write.messages))
        content = (write.metadata, write.starts, write.ends, write.summary, write.summarized)
        if found is not None and not changed and tuple(found[2:7]) == content:
            ref, times = found[0], (found[7], found[8])
            if write.restored in (None, times) and set(found[11]) == set(write.vectors):
                return Put(_head(ref, found[9], write, times), 0)
        seq = (yield from self._run("bump", user_ref=user_ref))[0][0]
        times = write.restored or (found[7] if found else at, at)
        rows = yield from self._run(
            "put",
            **place,
            seq=seq,
            length=len(write.messages),
            metadata=write.metadata,
            starts=write.starts,
            ends=write.ends,
            summary=write.summary,
            summarized=write.summarized,
            created=times[0],
            updated=times[1],
        )
        ref = rows[0][0]
        if differ:
            texts = [write.messages[n] for n in differ]
            yield from self._run("put_messages", ref=ref, position=differ, message=texts)
        if len(held) > len(write.messages):
            yield from self._run("cut_messages", ref=ref, length=len(write.messages))
        yield from self._put_vectors(ref, write.vectors, set(found[11]) if found else set())
        return Put(_head(ref, seq, write, times), changed)

    def _put_vectors(self, ref: int, vectors: Mapping[bytes, bytes], held: set[bytes]) -> Script[None]:
        if held - set(vectors):
            yield from self._run("cut_vectors", ref=ref, hash=list(vectors))
        new = [digest for digest in vectors if digest not in held]
        if not new:
            return
        packed = pack_vectors([vectors[digest] for digest in new])
        for size in {len(vector) // 2 for vector in packed}:
            yield from self._run("set_dimensions", size=size)
            rows = yield from self._run("held")
            if rows[0][1] != size:
                raise EmbeddingMismatchError(
                    f"the conversations have vectors of {rows[0][1]} dimensions, and the embedder made one of "
                    f"{size}; nothing was written. Ask for {rows[0][1]} dimensions, or call reembed()"
                )
        yield from self._run("put_vectors", ref=ref, hash=new, vector=packed)

    def _adopt(self, model: str) -> Script[None]:
        """Take ``model`` for a tenant without conversations; refuse it where those of another one are."""
        rows = yield from self._run("held")
        if rows and rows[0][0] == model:
            return
        yield from self._run("adopt", model=model)
        rows = yield from self._run("held")
        if rows[0][0] != model:
            raise EmbeddingMismatchError(
                f"the conversations are embedded by {rows[0][0]!r}, and this memory embeds by {model!r}; nothing "
                "was written. Open it with the embedder it holds, or give it to the new one with reembed()"
            )

    def delete(self, user_id: str, session_id: str | None) -> Flow[int]:
        """Delete a conversation, or all of a user."""

        def script() -> Script[int]:
            rows = yield from self._run("lock_known_user", user=user_id)
            if not rows:
                return 0
            user_ref = rows[0][0]
            gone = yield from self._run("delete", user_ref=user_ref, session=session_id)
            if gone[0][0]:
                yield from self._run("bump", user_ref=user_ref)
                # A user without conversations leaves nothing, not even the id.
                yield from self._run("delete_empty_user", user_ref=user_ref)
            return int(gone[0][0])

        return (yield from self._work(script, atomic=True))

    def reembed(self, model: str, rows: Sequence[tuple[int, int, Mapping[bytes, bytes]]]) -> Flow[bool]:
        """Give the tenant's conversations to another embedder."""

        def script() -> Script[bool]:
            yield from self._run("quiet")
            same = yield from self._run(
                "unchanged", ref=[row[0] for row in rows], seq=[row[1] for row in rows]
            )
            if not same[0][0]:
                return False
            yield from self._run("clear_vectors")
            yield from self._run("give", model=model)
            for ref, _, vectors in rows:
                yield from self._put_vectors(ref, vectors, set())
            yield from self._run("touch")
            return True

        return (yield from self._work(script, atomic=True))

    def purge(self) -> Flow[None]:
        """Have the space of deleted rows reused; see ``docs/postgres.md`` for what the server keeps."""
        yield from self._open()

        def vacuum() -> Script[None]:
            yield Ask(self._sql["vacuum"], {})

        yield from work(self._database, vacuum)

    # Reading ------------------------------------------------------------------------------------------------

    def state(self, user_id: str) -> Flow[State]:
        """Where a user stands."""
        rows = yield from self._ask(self._sql["state"], {"user": user_id})
        return State(rows[0][0] or 0, rows[0][1] or 0, rows[0][2])

    def changes(self, user_id: str, held: Mapping[int, int], most: int) -> Flow[Changes]:
        """What an index lacks, in one statement, so of one moment."""
        parameters = {"user": user_id, "ref": list(held), "seq": list(held.values()), "most": most}
        rows = yield from self._ask(self._sql["changes"], parameters)
        own = [row for row in rows if row[3] is not None]
        lacking = [row for row in own if row[4]]
        loaded = [
            Stored(Head(row[3], *row[5:16]), row[16], _vectors(row[17], row[18], row[19]))
            for row in lacking
            if row[16] is not None
        ]
        state = State(rows[0][0] or 0, rows[0][1] or 0, rows[0][2])
        return Changes(state, [row[3] for row in own], loaded, len(loaded) == len(lacking))

    def pick(self, user_id: str, wanted: Mapping[int, Sequence[int]]) -> Flow[list[Picked]]:
        """Some messages of some conversations, in one statement."""
        places = [(ref, at) for ref, positions in wanted.items() for at in positions]
        parameters = {
            "user": user_id,
            "ref": [ref for ref, _ in places],
            "position": [at for _, at in places],
        }
        rows = yield from self._ask(self._sql["pick"], parameters)
        return [Picked(Head._make(row[:12]), dict(zip(row[12], row[13], strict=True))) for row in rows]

    def restore(self, user_id: str, model: str, index: ConversationIndex) -> Flow[tuple[int, int] | None]:
        """Nothing: a server's clients have no folder in common, and live longer than a command."""
        yield from ()
        return None

    def keep(self, user_id: str, model: str, mark: tuple[int, int], index: ConversationIndex) -> Flow[bool]:
        """Nothing is kept."""
        yield from ()
        return False

    def known(self, user_id: str, hashes: Sequence[bytes]) -> Flow[dict[bytes, bytes]]:
        """The vectors of these hashes that the user has."""
        rows = yield from self._ask(self._sql["known"], {"user": user_id, "hash": list(hashes)})
        return _vectors([row[0] for row in rows], [row[1] for row in rows], rows[0][2] if rows else None)

    def get(self, user_id: str, session_id: str) -> Flow[Stored | None]:
        """One conversation, without its vectors."""
        rows = yield from self._ask(self._sql["whole"], {"user": user_id, "session": session_id})
        return Stored(Head._make(rows[0][:12]), rows[0][12], {}) if rows else None

    def totals(self, user_id: str | None) -> Flow[Totals]:
        """Counts."""
        rows = yield from self._ask(self._sql["totals"], {"user": user_id})
        return Totals._make(rows[0])

    def pending(self) -> Flow[list[Stored]]:
        """Every conversation without its vectors."""
        rows = yield from self._ask(self._sql["whole"], {"user": None, "session": None})
        return [Stored(Head._make(row[:12]), row[12], {}) for row in rows]

    def _run(self, name: str, **parameters: Any) -> Script[list[Any]]:
        rows: list[Any] = yield Ask(self._sql[name], {"tenant": self._tenant, **parameters})
        return rows

    def list(self, user_id: str | None) -> Flow[list[Head]]:
        """The conversations, the newest first."""
        rows = yield from self._ask(self._sql["heads"], {"user": user_id})
        return [Head._make(row) for row in rows]


def _head(ref: int, seq: int, write: Write, times: tuple[int, int]) -> Head:
    return Head(
        ref,
        seq,
        write.user_id,
        write.session_id,
        len(write.messages),
        write.metadata,
        write.starts,
        write.ends,
        write.summary,
        write.summarized,
        *times,
    )


def _vectors(hashes: Sequence[bytes], stored: Sequence[bytes], dimensions: int | None) -> dict[bytes, bytes]:
    """By hash, as f32 values."""
    return dict(zip(hashes, unpack_vectors(stored, dimensions or 0), strict=True))
