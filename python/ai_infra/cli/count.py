"""``ai-infra count``: how many tokens a conversation has, and where they are."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ai_infra.cli.read import read_messages
from ai_infra.cli.terminal import count_of, say
from ai_infra.llm.memory.models import model_info
from ai_infra.llm.memory.tokens import count_tokens, counter_for


def register(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "count",
        help="count the tokens of a conversation",
        description="Counts the tokens of a conversation exactly and offline, by OpenAI's chat rule.",
    )
    add_input(parser)
    parser.set_defaults(run=run)


def add_input(parser: argparse.ArgumentParser) -> None:
    """Adds the options that the commands on one conversation share."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help="messages, one JSON object a line (or one JSON list); - for standard input",
    )
    parser.add_argument("--model", help="whose tokens to count (default: the o200k_base encoding)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Prints the total, and the share of each role."""
    messages = read_messages(options.file)
    counter = counter_for(options.model)
    costs = counter.messages(messages)
    total = count_tokens(messages, model=options.model)
    roles: dict[str, dict[str, int]] = {}
    for message, cost in zip(messages, costs, strict=True):
        role = roles.setdefault(str(message.get("role") or message.get("type")), {"messages": 0, "tokens": 0})
        role["messages"] += 1
        role["tokens"] += cost
    counting = "exact" if counter.exact else "estimated"
    if options.json:
        print(json.dumps({"messages": len(messages), "tokens": total, "counting": counting, "roles": roles}))
        return
    say(f"{count_of(total, 'token')} in {count_of(len(messages), 'message')} ({counting})")
    for name, role in sorted(roles.items(), key=lambda item: -item[1]["tokens"]):
        held = count_of(role["messages"], "message")
        say(f"  {name:<10} {role['tokens']:>10,} tokens  {held:>16}")
    if options.model is not None:
        window = model_info(options.model).context
        say(f"{total / window:.1%} of the {window:,} tokens that {options.model} takes")
