"""Four threads mixed on one file: neither memory nor open files grow. 20 seconds here, half an hour in the nightly run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SECONDS = 1800 if os.environ.get("AI_INFRA_NIGHTLY") else 20

PROGRAM = """
import asyncio, gc, json, os, random, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
import psutil
from ai_infra.errors import ConflictError
from ai_infra.llm.memory.store import MemoryStore
from ai_infra.llm.session import sqlite
from ai_infra.llm.tools.custom import ConversationMemory, create_memory_tool
from ai_infra import fit_context

path, seconds = sys.argv[1], float(sys.argv[2])
store, memory, sessions = MemoryStore.sqlite(path), ConversationMemory("sqlite", path=path), sqlite(path)
tool = create_memory_tool(memory, "user 1")
words = [f"word{n}" for n in range(2000)]
operations, failures = [0] * 4, []

def chat(dice):
    return [{"role": r, "content": " ".join(dice.choices(words, k=30))} for r in ("user", "assistant") * 5]

def work(number):
    dice = random.Random(number)
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))  # else its threads come one by one, for minutes
    try:
        while time.monotonic() < end:
            place, key, user, name = ("a", str(dice.randrange(5))), str(dice.randrange(200)), f"user {dice.randrange(5)}", f"s{dice.randrange(20)}"
            match dice.randrange(12):
                case 0: store.put(place, key, {"text": " ".join(dice.choices(words, k=20))}, ttl=dice.choice((None, 0.5)))
                case 1: store.delete(place, key)
                case 2: store.search(place, " ".join(dice.choices(words, k=3)))
                case 3: loop.run_until_complete(store.aput(place, key, {"n": 1}))
                case 4: store.list("a", recursive=True, limit=50); store.sweep()
                case 5: memory.index_conversation(user, name, chat(dice))
                case 6: memory.search(user, " ".join(dice.choices(words, k=3)))
                case 7: memory.delete_conversation(user, name); tool("word1")
                case 8:
                    if dice.random() < 0.5: sessions.delete(name)
                    else:
                        with suppress(ConflictError): sessions.append(name, chat(dice))  # deleted meanwhile
                case 9: fit_context(sessions.messages(name) or chat(dice), 300)
                case 10:
                    with MemoryStore.sqlite(path) as other: other.get(place, key)
                case 11:
                    if dice.random() < 0.02: store.purge()
                    else: loop.run_until_complete(memory.asearch(user, "word7"))
            operations[number] += 1
    except BaseException as error:
        failures.append(repr(error))
        raise
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

process, samples = psutil.Process(), []
end = time.monotonic() + seconds
threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads: thread.start()
while time.monotonic() < end:
    time.sleep(seconds / 40)
    gc.collect()
    samples.append((process.memory_info().rss, process.num_fds(), process.num_threads()))
for thread in threads: thread.join()
for each in (store, memory, sessions): each.close()
print(json.dumps({"samples": samples, "operations": sum(operations), "failures": failures,
                  "left": process.num_fds(), "size": os.path.getsize(path)}))
"""


def test_memory_and_open_files_stay_flat(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "soak.db"), str(SECONDS)],
        capture_output=True,
        text=True,
        timeout=SECONDS + 120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["failures"]
    assert found["operations"] > 20 * SECONDS
    # The first half fills caches and reaches the working size. After it nothing may grow: the best of the last
    # quarter against the worst of the second.
    memory, handles, threads = ([sample[at] for sample in found["samples"]] for at in range(3))
    half, quarter = len(memory) // 2, len(memory) * 3 // 4
    assert min(memory[quarter:]) < max(memory[quarter // 2 : half]) * 1.1
    assert max(handles[quarter:]) <= max(handles[:half]) + 8
    assert max(threads[quarter:]) <= max(threads[:half]) + 2
    assert found["left"] <= min(handles)
    print(found["operations"], [round(size / 2**20) for size in memory[::4]], handles[::4])
