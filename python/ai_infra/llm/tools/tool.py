"""``Tool``: a typed function with a name, a description and a schema, as models and frameworks want it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import cached_property, partial, update_wrapper
from typing import Any, get_type_hints

from ai_infra.errors import ConfigurationError
from ai_infra.llm.tools.docstring import describe
from ai_infra.llm.tools.schema import Arguments, arguments_of

__all__ = ["Tool"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Tool:
    """A function that a model may call.

    It is still that function: calling it calls the function with the same arguments, and its signature, type
    hints and docstring are there for whoever inspects it. So LangChain, the OpenAI Agents SDK and Pydantic AI
    take it where they take a function.

    Args:
        function: what is called, ``def`` or ``async def``. Its type hints make the schema (by pydantic), its
            docstring the description. Of the arguments a section of the docstring tells (in the style of Google,
            NumPy or Sphinx), ``Annotated[..., "text"]``, or a ``Field`` of pydantic.
        name: what the model calls it; the function's name when not given.
        description: what the model is told about it; from the docstring when not given.
        parameters: a JSON schema of the arguments, in place of the one from the type hints. Then arguments
            are passed on as they come, without validation.

    Raises:
        ConfigurationError: not callable, or a name that services refuse.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        if not callable(function):
            raise ConfigurationError(f"a tool is a function or a Tool, not {type(function).__name__}.")
        written = _written(function)
        update_wrapper(self, written)
        called = function.func if isinstance(function, partial) else function
        found = name or getattr(called, "__name__", None) or type(called).__name__
        if not _NAME.fullmatch(found):
            raise ConfigurationError(
                f"{found!r} is no name for a tool: 1 to 64 letters, digits, '_' or '-'. Pass name=..."
            )
        self.function = function
        self._written = written
        self.name: str = found
        text, self._described = describe(inspect.getdoc(written) if inspect.isroutine(written) else None)
        self.description: str = text if description is None else inspect.cleandoc(description)
        self._given = None if parameters is None else dict(parameters)
        self.__name__ = self.__qualname__ = found
        self.__doc__ = self.description or None
        self.is_async: bool = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object whose call is a coroutine function
        )
        if self.is_async and hasattr(function, "__code__"):
            # What `inspect.iscoroutinefunction` looks at in objects that stand for functions: frameworks ask it
            # whether to await.
            self.__code__ = function.__code__
            self.__defaults__ = getattr(function, "__defaults__", None)
            self.__kwdefaults__ = getattr(function, "__kwdefaults__", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """As a method, where it was made of one by decoration."""
        if instance is None:
            return self
        bound = self.function.__get__(instance, owner)
        return Tool(bound, name=self.name, description=self.description, parameters=self._given)

    @cached_property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.function)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        return self._given if self._given is not None else self.arguments.schema

    @cached_property
    def arguments(self) -> Arguments:
        """What reads and checks the arguments of a call.

        Raises:
            MissingDependencyError: pydantic is not installed.
            ConfigurationError: a signature or a type hint that no schema can be made of.
        """
        try:
            hints = get_type_hints(self._written, include_extras=True)
        except (NameError, TypeError, AttributeError):
            hints = dict(getattr(self._written, "__annotations__", {}))
        try:
            signature = self.__signature__
        except (ValueError, TypeError):
            raise ConfigurationError(
                f"the tool {self.name!r} has no signature that could be read: write a function around it."
            ) from None
        return arguments_of(self.name, self.function, signature, hints, self._described)

    def bind(self, arguments: str | Mapping[str, Any] | None) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a model's call, checked and converted: what to pass by position and by name.

        Args:
            arguments: JSON as the model wrote it, or what it stands for.

        Raises:
            InvalidInputError: no JSON object, or arguments that the function does not take; says which and
                why.
        """
        if self._given is not None:
            from ai_infra.llm.tools.schema import as_object

            return [], as_object(self.name, arguments)
        return self.arguments.bind(arguments)

    def run(self, arguments: str | Mapping[str, Any] | None) -> Any:
        """Check the arguments of a model's call, and call the function with them."""
        args, kwargs = self.bind(arguments)
        return self.function(*args, **kwargs)

    def to_openai(self) -> dict[str, Any]:
        """The schema as OpenAI's ``tools=`` wants it."""
        function: dict[str, Any] = {"name": self.name, "parameters": self.parameters}
        if self.description:
            function["description"] = self.description
        return {"type": "function", "function": function}

    def to_langchain(self) -> Any:
        """The same tool as a LangChain ``StructuredTool``.

        Raises:
            MissingDependencyError: langchain-core is not installed.
        """
        try:
            from langchain_core.tools import StructuredTool
        except ImportError:
            from ai_infra.errors import MissingDependencyError

            raise MissingDependencyError(
                'to_langchain() needs langchain-core: pip install "ai-infra-memory[langchain]"'
            ) from None
        schema: Any = self._given if self._given is not None else self.arguments.model_by_name()
        faces: dict[str, Any] = {"coroutine": self.function} if self.is_async else {"func": self.function}
        return StructuredTool.from_function(
            **faces, name=self.name, description=self.description or self.name, args_schema=schema
        )


def _written(function: Callable[..., Any]) -> Callable[..., Any]:
    """Where the hints and the docstring are: the function of a partial, the ``__call__`` of an object."""
    if isinstance(function, partial):  # a partial of a partial is one of its function
        function = function.func
    if inspect.isroutine(function) or inspect.isclass(function) or hasattr(function, "__wrapped__"):
        return function
    return function.__call__  # type: ignore[no-any-return, operator]  # an object has one


def as_tool(given: Any) -> Tool:
    """Whatever stands for a tool, as a :class:`Tool`: one already, a function, or a LangChain tool.

    Raises:
        ConfigurationError: none of these.
    """
    if isinstance(given, Tool):
        return given
    if hasattr(given, "invoke") and hasattr(given, "args_schema") and hasattr(given, "name"):
        return _from_langchain(given)
    if callable(given):
        return Tool(given)
    raise ConfigurationError(
        f"a tool is a typed function, a Tool or a LangChain tool, not {type(given).__name__}."
    )


def _from_langchain(given: Any) -> Tool:
    def call(**arguments: Any) -> Any:
        return given.invoke(arguments)

    async def acall(**arguments: Any) -> Any:
        return await given.ainvoke(arguments)

    schema = given.tool_call_schema
    parameters = schema if isinstance(schema, dict) else schema.model_json_schema()
    only_async = getattr(given, "coroutine", None) is not None and getattr(given, "func", None) is None
    return Tool(
        acall if only_async else call,
        name=given.name,
        description=given.description or "",
        parameters=parameters,
    )
