"""What a docstring or a ``Field`` says of an argument reaches the model."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from ai_infra.errors import InvalidInputError
from ai_infra.llm.tools import Tool
from pydantic import Field


def google(city: str, days: int = 1, **more: Any) -> str:
    """Look up the weather.

    It is made up.

    Args:
        city: the city's name,
            in English: always
        days (int, optional): how many
        **more: not told

    Returns:
        str: a sentence
    """
    return city


def numpy(city: str, days: int = 1, x: float = 0, y: float = 0) -> str:
    """Look up the weather.

    It is made up.

    Parameters
    ----------
    city : str
        the city's name,
        in English: always
    days : int, optional
        how many
    x, y : float
        where

        in degrees

    Returns
    -------
    str
        a sentence
    """
    return city


def sphinx(city: str, days: int = 1) -> str:
    """Look up the weather.

    It is made up.

    :param city: the city's name,
        in English: always
    :param int days: how many
    :type city: str
    :returns: a sentence
        of words
    """
    return city


@pytest.mark.parametrize("function", [google, numpy, sphinx])
def test_styles_of_docstrings(function: Any) -> None:
    tool = Tool(function)
    assert tool.description == "Look up the weather.\n\nIt is made up."
    told = {name: field.get("description") for name, field in tool.parameters["properties"].items()}
    assert (told["city"], told["days"]) == ("the city's name, in English: always", "how many")
    if function is numpy:
        assert told["x"] == told["y"] == "where in degrees"


def test_other_words_stay() -> None:
    def tool() -> None:
        """Rules: read them.

        Order
        -----
        first : second
        """

    assert Tool(tool).description == "Rules: read them.\n\nOrder\n-----\nfirst : second"


def test_a_field_is_a_default() -> None:
    def place(
        city: str = Field(description="the city's name"),
        days: int = Field(3, ge=1, le=9),
        tags: list[str] = Field(default_factory=list, alias="other"),  # noqa: B008 - that is the case
        hour: Annotated[int, Field(description="of the day")] = 12,
    ) -> list[Any]:
        return [city, days, tags, hour]

    tool = Tool(place)
    assert tool.parameters["required"] == ["city"]
    fields = tool.parameters["properties"]
    assert fields["city"] == {"type": "string", "description": "the city's name"}
    assert fields["days"] == {"type": "integer", "default": 3, "minimum": 1, "maximum": 9}
    assert fields["hour"]["description"] == "of the day"
    assert tool.run({"city": "Oslo"}) == ["Oslo", 3, [], 12]
    assert tool.run({"city": "Oslo"})[2] is not tool.run({"city": "Oslo"})[2]
    with pytest.raises(InvalidInputError, match="days: Input should be less"):
        tool.run({"city": "Oslo", "days": 10})
