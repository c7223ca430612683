"""The peer of the benchmark of `mcp-reporter serve`: the same API in FastAPI.

One process. An event is checked, kept in SQLite (WAL, synchronous NORMAL: what survives the end
of the process), then answered. Writes that come together are committed together, by one thread,
which is the fastest that SQLite offers.

    python peer.py PORT FILE KEY
"""

import asyncio
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict

ACTIONS = {
    "interaction_start",
    "interaction_progress",
    "interaction_complete",
    "interaction_error",
}

port, path, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
app = FastAPI()
bearer = HTTPBearer()
queue: asyncio.Queue = asyncio.Queue()


class Event(BaseModel):
    model_config = ConfigDict(extra="allow")
    action: str
    interaction_id: str


class Outbox:
    def __init__(self) -> None:
        self.db = sqlite3.connect(path, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.execute("CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, body TEXT)")

    def store(self, bodies: list[str]) -> None:
        with self.db:
            self.db.executemany("INSERT INTO events (body) VALUES (?)", [(b,) for b in bodies])


async def write() -> None:
    outbox, loop = Outbox(), asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:
        while True:
            batch = [await queue.get()]
            while not queue.empty():
                batch.append(queue.get_nowait())
            await loop.run_in_executor(thread, outbox.store, [body for body, _ in batch])
            for _, done in batch:
                done.set_result(None)


@app.on_event("startup")
async def start() -> None:
    app.state.writer = asyncio.create_task(write())


@app.get("/api/v2/health")
async def health():
    return {"status": "healthy"}


@app.post("/api/v2/interactions")
async def report(event: Event, credentials: HTTPAuthorizationCredentials = Depends(bearer)):
    if credentials.credentials != key:
        raise HTTPException(status_code=401, detail="Invalid API key")
    if event.action not in ACTIONS:
        raise HTTPException(status_code=422, detail="action")
    done = asyncio.get_running_loop().create_future()
    queue.put_nowait((event.model_dump_json(), done))
    await done
    return {"status": "accepted", "interaction_id": event.interaction_id, "queue_position": 1}


uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", loop="uvloop", http="httptools")
