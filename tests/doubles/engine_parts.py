"""What the doubles of engines answer alike: their models, their adapters, vLLM's errors."""

import asyncio
import threading
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

BASE = "base@1"
Body = dict[str, Any]


class HoldsModels(Protocol):
    base: str
    adapters: dict[str, str]


def add_model_routes(app: FastAPI, double: HoldsModels, max_model_len: int) -> None:
    """The base and its adapters: listed, and loaded."""

    @app.get("/v1/models")
    async def models() -> Body:
        base = double.base
        loaded = [
            {"id": name, "root": folder, "parent": base} for name, folder in double.adapters.items()
        ]
        itself = {"id": base, "root": "/models/base", "parent": None}
        return {"data": [itself | {"max_model_len": max_model_len}, *loaded]}

    @app.post("/v1/load_lora_adapter")
    async def load(request: Request) -> Response:
        body = await request.json()
        double.adapters[body["lora_name"]] = body["lora_path"]
        return PlainTextResponse("Success")


def lacks_model(body: Body, double: HoldsModels) -> Response | None:
    """The refusal, where the request's model is neither the base nor loaded."""
    if body["model"] == double.base or body["model"] in double.adapters:
        return None
    return error(404, f"The model `{body['model']}` does not exist.")


async def waits(hold: threading.Event, request: Request) -> bool:
    """Waits while `hold` is set; False when the client left meanwhile."""
    while hold.is_set():
        if await request.is_disconnected():
            return False
        await asyncio.sleep(0.01)
    return True


def error(status: int, message: str) -> Response:
    content = {"error": {"message": message, "type": "X", "param": None, "code": status}}
    return JSONResponse(content, status_code=status)
