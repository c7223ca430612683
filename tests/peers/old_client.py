"""The client that mcp-reporter took the place of, written anew from the description of what it did.

Each report is one POST that its caller waits for: at most 5 s, and at most 10 in a second. Only 200
is success; what is answered otherwise, or not at all, goes into a SQLite table.

As a program it reports what its standard input says, a line for each interaction,

    [["start", {…}], ["progress", {…}], ["complete", {…}]]

all of them at once and each of them in order. It prints a line for each call, with the bytes that
aiohttp sent, as text:

    {"interaction_id": "int_…", "action": "start", "success": true, "ms": 1.5, "body": "{…}"}

    python old_client.py URL KEY CACHE
"""

import asyncio
import contextvars
import json
import secrets
import sqlite3
import sys
import time

import aiohttp

DATA = {
    "start": "request_data",
    "progress": "progress_data",
    "complete": "result_data",
    "error": "error_data",
}

# What the current call sent.
sent = contextvars.ContextVar("sent")


async def keep_what_is_sent(_session, _context, chunk):
    sent.get().extend(chunk.chunk)


class Throttle:
    """At most `limit` in each `period` of seconds; who waits looks again every 10 ms."""

    def __init__(self, limit, period):
        self.limit, self.period, self.times = limit, period, []

    async def __aenter__(self):
        while True:
            now = time.monotonic()
            self.times = [at for at in self.times if now - at < self.period]
            if len(self.times) < self.limit:
                self.times.append(now)
                return
            await asyncio.sleep(0.01)

    async def __aexit__(self, *_):
        pass


class MCPDataReporter:
    """Use it as an asynchronous context manager."""

    def __init__(self, mcp_id, coordinator_url, api_key, local_cache_path, rate_limit=10):
        self.mcp_id = mcp_id
        self.coordinator_url = coordinator_url.rstrip("/")
        self.headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        self.throttle = Throttle(rate_limit, 1.0)
        self.cache = sqlite3.connect(local_cache_path)
        self.cache.execute(
            "CREATE TABLE IF NOT EXISTS failed_interactions (id INTEGER PRIMARY KEY AUTOINCREMENT,"
            " interaction_data TEXT, timestamp REAL, retry_count INTEGER DEFAULT 0)"
        )
        self.cache.commit()

    async def __aenter__(self):
        tracing = aiohttp.TraceConfig()
        tracing.on_request_chunk_sent.append(keep_what_is_sent)
        self.session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=5), trace_configs=[tracing]
        )
        return self

    async def __aexit__(self, *_):
        await self.session.close()
        self.cache.close()

    def new_interaction(self):
        return f"int_{int(time.time())}_{secrets.token_hex(4)}"

    async def report(self, action, interaction_id, data):
        """Whether the coordinator took it; if not, it is in the cache."""
        event = {
            "action": f"interaction_{action}",
            "interaction_id": interaction_id,
            "mcp_id": self.mcp_id,
            "timestamp": time.time(),
            DATA[action]: data,
        }
        async with self.throttle:
            if await self.send(event):
                return True
        self.cache.execute(
            "INSERT INTO failed_interactions (interaction_data, timestamp) VALUES (?, ?)",
            (json.dumps(event), time.time()),
        )
        self.cache.commit()
        return False

    async def send(self, event):
        url = f"{self.coordinator_url}/api/v2/interactions"
        try:
            async with self.session.post(url, json=event, headers=self.headers) as response:
                return response.status == 200
        except (aiohttp.ClientError, asyncio.TimeoutError):
            return False


async def interact(reporter, calls):
    interaction_id = reporter.new_interaction()
    for action, data in calls:
        body = bytearray()
        sent.set(body)
        began = time.perf_counter()
        success = await reporter.report(action, interaction_id, data)
        ms = (time.perf_counter() - began) * 1000
        line = {
            "interaction_id": interaction_id,
            "action": action,
            "success": success,
            "ms": ms,
            "body": body.decode(),
        }
        print(json.dumps(line))


async def main(url, key, cache):
    interactions = [json.loads(line) for line in sys.stdin]
    # Its throttle would be most of the time.
    async with MCPDataReporter("old", url, key, cache, rate_limit=float("inf")) as reporter:
        await asyncio.gather(*(interact(reporter, calls) for calls in interactions))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
