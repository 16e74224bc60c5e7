"""From a signature to a JSON schema, and from a model's arguments to those of a function. By pydantic."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

from ai_infra.errors import ConfigurationError, InvalidInputError, MissingDependencyError
from ai_infra.llm.arguments import as_written


class Arguments:
    """The arguments of one function.

    Raises:
        MissingDependencyError: pydantic is not installed.
        ConfigurationError: a signature or a type hint that no schema can be made of.
    """

    def __init__(
        self, name: str, signature: inspect.Signature, hints: Mapping[str, Any], described: Mapping[str, str]
    ) -> None:
        self._pydantic = _pydantic()
        self._name = name
        self._positional: list[str] = []
        self._named: list[str] = []
        self._others = False
        # Fields have names of our own and the arguments' names as aliases: an argument may be called `json`,
        # `schema` or `_id`, which pydantic keeps for itself.
        self._fields: dict[str, tuple[str, Any, Any, str | None]] = {}
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                self._others = True
                continue
            if parameter.kind is parameter.VAR_POSITIONAL:
                raise ConfigurationError(
                    f"the tool {name!r} takes *{parameter.name}, and models name every argument; "
                    "give it a list."
                )
            hint = hints.get(parameter.name, Any)
            default = ... if parameter.default is parameter.empty else parameter.default
            if isinstance(default, self._pydantic.fields.FieldInfo):  # `x: int = Field(3, ge=0)`
                hint = Annotated[hint, default]
            text = described.get(parameter.name) or _annotated_text(hint)
            self._fields[f"field_{len(self._fields)}"] = (parameter.name, hint, default, text)
            positional = parameter.kind is parameter.POSITIONAL_ONLY
            (self._positional if positional else self._named).append(parameter.name)
        self._model = self._build(by_name=False)
        self.schema: dict[str, Any] = _plain(self._schema())

    def bind(self, arguments: str | Mapping[str, Any] | None) -> tuple[list[Any], dict[str, Any]]:
        """What to pass by position and by name; see :meth:`Tool.bind`."""
        given = as_object(self._name, arguments)
        try:
            checked = self._model.model_validate(given)
        except self._pydantic.ValidationError as error:
            problems = [
                f"{'.'.join(str(part) for part in found['loc']) or 'arguments'}: {found['msg']}"
                for found in error.errors(include_url=False, include_input=False, include_context=False)
            ]
            raise InvalidInputError(f"wrong arguments for {self._name}: {'; '.join(problems)}") from None
        values = {name: getattr(checked, field) for field, (name, *_) in self._fields.items()}
        named = {name: values[name] for name in self._named}
        if self._others:
            named.update(checked.model_extra or {})
        return [values[name] for name in self._positional], named

    def model_by_name(self) -> Any:
        """A pydantic model whose fields have the arguments' names, for frameworks that want one."""
        return self._build(by_name=True)

    def _build(self, *, by_name: bool) -> Any:
        pydantic = self._pydantic
        fields: dict[str, Any] = {}
        for field, (name, hint, default, text) in self._fields.items():
            options: dict[str, Any] = {} if by_name else {"alias": name}
            if text:
                options["description"] = text
            if not isinstance(default, pydantic.fields.FieldInfo):
                options["default"] = default
            elif default.default_factory is not None:
                options["default_factory"] = default.default_factory
            else:
                options["default"] = ... if default.is_required() else default.default
            fields[name if by_name else field] = (hint, pydantic.Field(**options))
        config = pydantic.ConfigDict(
            extra="allow" if self._others else "forbid", arbitrary_types_allowed=False
        )
        try:
            return pydantic.create_model(self._name, __config__=config, **fields)
        except (pydantic.errors.PydanticUserError, pydantic.errors.PydanticUndefinedAnnotation) as error:
            raise ConfigurationError(
                f"no schema can be made for the tool {self._name!r}: {error.message}"
            ) from None

    def _schema(self) -> dict[str, Any]:
        try:
            schema: dict[str, Any] = self._model.model_json_schema()
        except self._pydantic.errors.PydanticInvalidForJsonSchema as error:
            raise ConfigurationError(
                f"the tool {self._name!r} has an argument JSON cannot carry: {error}"
            ) from None
        except self._pydantic.errors.PydanticUserError:
            raise ConfigurationError(
                f"a type hint of the tool {self._name!r} names something that is not there when it is read: "
                "define it beside the function, not inside another one."
            ) from None
        return schema


_known: dict[Any, Arguments] = {}
_KNOWN = 512


def arguments_of(
    name: str,
    function: Any,
    signature: inspect.Signature,
    hints: Mapping[str, Any],
    described: Mapping[str, str],
) -> Arguments:
    """The arguments of a function, made once for all closures of the same code.

    Making a schema takes a millisecond, and servers make the tools of a user anew for every request.
    """
    parameters = tuple(
        (one.name, one.kind, type(one.default), one.default) for one in signature.parameters.values()
    )
    code = getattr(function, "__code__", function)
    key = (name, code, parameters, tuple(hints.items()), tuple(described.items()))
    try:
        found = _known.get(key)
    except TypeError:  # a default or a hint that has no hash
        return Arguments(name, signature, hints, described)
    if found is None:
        if len(_known) >= _KNOWN:
            _known.clear()
        found = _known[key] = Arguments(name, signature, hints, described)
    return found


def as_object(name: str, arguments: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """The arguments of a call as a dict; none at all are an empty one.

    Raises:
        InvalidInputError: they are no JSON object.
    """
    arguments = as_written(arguments)
    if arguments is None or arguments == "":
        return {}
    if isinstance(arguments, str):
        try:
            value = json.loads(arguments)
            meant = as_written(value)
            arguments = value if meant is value else json.loads(meant)
        except ValueError as error:
            raise InvalidInputError(f"wrong arguments for {name}: they are no JSON ({error})") from None
        except RecursionError:
            raise InvalidInputError(f"wrong arguments for {name}: they are nested too deep") from None
    if not isinstance(arguments, Mapping):
        raise InvalidInputError(f"wrong arguments for {name}: they are no JSON object")
    return dict(arguments)


def _annotated_text(hint: Any) -> str | None:
    if get_origin(hint) is not Annotated:
        return None
    return next((part for part in get_args(hint)[1:] if isinstance(part, str)), None)


def _plain(schema: Any, *, properties: bool = False) -> Any:
    """Without the titles that pydantic makes of names: the model is billed for them and learns nothing."""
    if isinstance(schema, dict):
        return {
            key: value
            if key == "default" and not properties
            else _plain(value, properties=key in ("properties", "$defs") and not properties)
            for key, value in schema.items()
            if properties or not (key == "title" or (key == "default" and not _is_json(value)))
        }
    if isinstance(schema, list):
        return [_plain(value) for value in schema]
    return schema


def _is_json(value: Any) -> bool:
    """Whether a default can be told: JSON has no infinity and no NaN, and no request with one can be sent."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def _pydantic() -> Any:
    try:
        import pydantic
        import pydantic.errors
        import pydantic.fields
    except ImportError:
        raise MissingDependencyError(
            'tools are described and checked by pydantic: pip install "ai-infra-memory[openai]"'
        ) from None
    return pydantic
