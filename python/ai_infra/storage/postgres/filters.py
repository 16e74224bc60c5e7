"""The filter language as SQL: fixed fragments and parameters, with the meaning it has in the local engine.

A field is reached key by key with ``->``, which yields NULL on a missing key and on anything but a dict.
``jsonb`` equality is equality by value: ``1`` is ``1.0``, dicts compare in any order, ``true`` is no number.
Numbers are compared as ``numeric`` (exactly), texts with ``COLLATE "C"`` (by code point).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, LiteralString

from ai_infra._core import canonical_filter
from ai_infra.storage.postgres.documents import document

if TYPE_CHECKING:
    from psycopg import sql

_TESTS: dict[str, LiteralString] = {
    "$eq": "coalesce({field} = {operand}::jsonb, false)",
    "$ne": "NOT coalesce({field} = {operand}::jsonb, false)",
    "$in": "coalesce({field} = ANY ({operand}::jsonb[]), false)",
    "$nin": "NOT coalesce({field} = ANY ({operand}::jsonb[]), false)",
}
_ORDERS: dict[str, tuple[LiteralString, LiteralString]] = {
    name: (
        "(CASE jsonb_typeof({field}) WHEN 'number' THEN ({field})::numeric " + sign + " {operand}::numeric "
        "ELSE false END)",
        "(CASE jsonb_typeof({field}) WHEN 'string' THEN ({field} #>> '{{}}') COLLATE \"C\" "
        + sign
        + " {operand} "
        "ELSE false END)",
    )
    for name, sign in {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}.items()
}


def compile_filter(filter: Any, parameters: dict[str, Any]) -> list[sql.Composable]:
    """The conditions of a filter; their operands are added to ``parameters``.

    Raises:
        InvalidFilterError: as the local engine says.
        InvalidTextError: a lone surrogate.
    """
    if filter is None:
        return []
    text = canonical_filter(filter) or "{}"
    conditions: list[sql.Composable] = []
    for path, wanted in json.loads(document(text) or text).items():
        tests = (
            wanted
            if isinstance(wanted, dict) and any(name[:1] == "$" for name in wanted)
            else {"$eq": wanted}
        )
        field = _field(path, parameters)
        conditions.extend(_test(field, name, operand, parameters) for name, operand in tests.items())
    return conditions


def _field(path: str, parameters: dict[str, Any]) -> sql.Composed:
    from psycopg import sql

    field: sql.Composed = sql.Composed([sql.SQL("doc")])
    for key in path.split("."):
        field = field + sql.SQL(" -> {}::text").format(_parameter(key, parameters))
    return field


def _parameter(value: Any, parameters: dict[str, Any]) -> sql.Placeholder:
    from psycopg import sql

    name = f"f{len(parameters)}"
    parameters[name] = value
    return sql.Placeholder(name)


def _test(field: sql.Composed, name: str, operand: Any, parameters: dict[str, Any]) -> sql.Composed:
    from psycopg import sql

    if name == "$exists":
        return field + sql.SQL(" IS NOT NULL" if operand else " IS NULL")
    if name in _ORDERS:
        number, text = _ORDERS[name]
        if isinstance(operand, str):
            return sql.SQL(text).format(field=field, operand=_parameter(operand, parameters))
        return sql.SQL(number).format(field=field, operand=_parameter(json.dumps(operand), parameters))
    value = [json.dumps(each) for each in operand] if name in ("$in", "$nin") else json.dumps(operand)
    return sql.SQL(_TESTS[name]).format(field=field, operand=_parameter(value, parameters))
