"""Tenants that must never meet: look-alike namespaces and keys, probed in every way there is to read."""

from __future__ import annotations

import itertools
import random
from typing import Any

from ai_infra.testing.contract.harness import StoreHarness

PARTS = [
    "a", "b", "ab", "A", "a/b", "a.b", "a:b", "a|b", "a,b", "a b", " a", "a ", "%", "_", "*", "a%", "a_",
    "a*", "?", "\\",
    "'", '"', "--", ";", "a'; DROP TABLE items; --", "é", "e\u0301", "É", "ß", "ss", "İ", "i", "ı",
    "\u200b", "a\u200b",
    "\n", "\t", "\x01", "\x7f", "0", "00", "1", "-1", "null", "None", "true", "()", "[]", "{}", "('a',)",
    "..", ".", "/",
    "//", "~", "$", "$gt", "#", "&", "=", "<", ">", "🙂", "\U0001f1f3\U0001f1f4", "名", "ا", "א", "\ufeff",
    "\ufffd", "\uffff",
    "a" * 255, "a" * 256, "\u0001a", "\u0100", "user", "user_1", "user_10", "user%1", "USER_1",
]  # fmt: skip
"""Separators, wildcards, quotes, case, normal forms, invisible characters, digits, lengths around a byte."""

ROUNDS = 2_000
"""Each asks some 55 questions, so 100,000 and more for each face of a backend."""


class IsolationContract(StoreHarness):
    """No probe of one tenant ever sees or touches another's items."""

    def test_look_alike_tenants_never_meet(self, store: Any) -> None:
        dice = random.Random(20)
        spaces = list(
            dict.fromkeys([(part,) for part in PARTS] + list(itertools.product(PARTS[:24], repeat=2)))
        )
        keys = dice.sample(PARTS, 8)
        truth = {(space, key): {"owner": list(space), "key": key} for space in spaces for key in keys}
        store.put_many([(*place, value) for place, value in truth.items()])
        probes = 0
        for _ in range(ROUNDS):
            space = dice.choice(spaces)
            asked = [(dice.choice(spaces), dice.choice(PARTS)) for _ in range(30)]
            for place, item in zip(asked, store.get_many(asked), strict=True):
                assert (item and item.value) == truth.get(place)
            owned = [key for key in keys if (space, key) in truth]
            listed = store.list(space)
            assert [(item.namespace, item.key) for item in listed] == [(space, key) for key in sorted(owned)]
            probes += len(asked) + len(listed) + self.probe_more(store, dice, truth, spaces, keys)
        assert probes >= 50 * ROUNDS
        assert store.count() == len(truth)

    def probe_more(
        self,
        store: Any,
        dice: random.Random,
        truth: dict[Any, Any],
        spaces: list[tuple[str, ...]],
        keys: list[str],
    ) -> int:
        """Subtrees, filters, deletes and clears; returns how many questions were asked."""
        root = dice.choice(spaces)[:1]
        below = sorted(
            space for space in spaces if space[:1] == root and any((space, key) in truth for key in keys)
        )
        assert store.list_namespaces(root) == below
        wanted = list(dice.choice(spaces))
        for item in store.list(root, recursive=True, filter={"owner": wanted}):
            assert list(item.namespace) == wanted
        for hit in store.search(space := dice.choice(spaces), dice.choice(PARTS), limit=len(keys)):
            assert truth[hit.namespace, hit.key] == hit.value
            assert hit.namespace == space
        # Delete something, put it back: the neighbours must not notice (the next rounds look).
        place = (dice.choice(spaces), dice.choice(PARTS))
        assert store.delete(*place) is (place in truth)
        if place in truth:
            store.put(*place, truth[place])
        return len(below) + len(keys) + 3
