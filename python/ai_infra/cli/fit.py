"""``ai-infra fit``: makes a conversation fit a budget, and says what became of each message."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ai_infra.cli.count import add_input
from ai_infra.cli.read import read_messages, read_text
from ai_infra.cli.terminal import count_of, say
from ai_infra.errors import SummarizationError
from ai_infra.llm.memory.fit import fit_context
from ai_infra.messages import to_openai


def register(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "fit",
        help="fit a conversation into a token budget",
        description="Fits a conversation into a token budget: trims it, or summarizes what does not fit.",
    )
    add_input(parser)
    parser.add_argument("--max-tokens", type=int, required=True, metavar="N", help="the budget in tokens")
    parser.add_argument("--explain", action="store_true", help="say what became of each message, and why")
    parser.add_argument(
        "--summarize", action="store_true", help="summarize what does not fit, by the LLM set up"
    )
    parser.add_argument("--summary", metavar="FILE", help="the summary so far")
    parser.add_argument(
        "--keep", type=int, default=10, metavar="N", help="messages that stay as they are (10)"
    )
    parser.add_argument(
        "--trim-to", type=int, metavar="N", help="cut down to between N and the budget, and rarely"
    )
    parser.add_argument("--max-summary-tokens", type=int, metavar="N", help="the bound of a new summary")
    parser.add_argument(
        "--on-summary-error",
        choices=("raise", "trim"),
        default="raise",
        help="give up (raise), or trim instead",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Fits and prints."""
    try:
        result = fit_context(
            read_messages(options.file),
            options.max_tokens,
            summarize=options.summarize,
            summary=read_text(options.summary).strip() if options.summary else None,
            keep=options.keep,
            trim_to=options.trim_to,
            max_summary_tokens=options.max_summary_tokens,
            on_summary_error=options.on_summary_error,
            model=options.model,
        )
    except SummarizationError as error:
        raise SummarizationError(_as_options(str(error))) from error
    if options.json:
        fields: dict[str, Any] = {
            "action": result.action,
            "tokens": result.tokens,
            "counting": result.counting,
            "original_count": result.original_count,
            "final_count": result.final_count,
            "summarized_count": result.summarized_count,
            "summary": result.summary,
            "messages": to_openai(result.messages),
        }
        if options.explain:
            fields["explain"] = result.explain().splitlines()
        print(json.dumps(fields))
        return
    if options.explain:
        say(result.explain())
    else:
        say(
            f"{result.action}: {count_of(result.original_count, 'message')} in, {result.final_count:,} out, "
            f"{result.tokens:,} of {options.max_tokens:,} tokens ({result.counting})"
        )
    if result.summary:
        say(f"\nSummary of what is not there any more:\n{result.summary}")


def _as_options(advice: str) -> str:
    """The advice that an error gives, for the command line."""
    advice = advice.replace("on_summary_error='trim'", "--on-summary-error trim")
    return advice.replace("max_summary_tokens", "--max-summary-tokens")
