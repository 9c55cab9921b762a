"""The page of a study and the four addresses behind it (Flask). Nothing is fetched from anywhere else."""

from __future__ import annotations

import re
import secrets
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.preference.study import CHOICES, Study, VoteStore, trials

if TYPE_CHECKING:
    from flask import Flask

TEMPLATES = Path(__file__).with_name("templates")
NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
POLICY = "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src 'self' data:"


class Clock:
    """When a participant was shown a screen, and how many votes came in the last minute. Lost with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shown: dict[tuple[str, int], float] = {}
        self._votes: dict[str, list[float]] = {}

    def show(self, participant: str, position: int) -> None:
        with self._lock:
            self._shown.setdefault((participant, position), time.monotonic())

    def seconds(self, participant: str, position: int) -> float | None:
        """Seconds since the screen was first shown; None if it was not (since the server started)."""
        with self._lock:
            since = self._shown.get((participant, position))
        return None if since is None else time.monotonic() - since

    def too_fast(self, participant: str, per_minute: int) -> bool:
        """Count a vote; True where the participant had the minute's share already."""
        now = time.monotonic()
        with self._lock:
            recent = [at for at in self._votes.get(participant, []) if now - at < 60]
            full = len(recent) >= per_minute
            self._votes[participant] = recent if full else [*recent, now]
        return full


def study_app(study: Study, store: VoteStore, limit: int, least_seconds: float, per_minute: int) -> Flask:
    """The Flask application. limit: pairs a participant is asked; least_seconds: shortest look before a vote counts."""
    from flask import Flask, Response, abort, jsonify, redirect, request, send_file

    app = Flask("preference", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 4096
    clock = Clock()

    def headers(response: Any) -> Any:
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def refused(code: int, sentence: str) -> tuple[Response, int]:
        return jsonify(error=sentence), code

    def state(participant: str) -> dict[str, object]:
        order = trials(study, participant, limit)
        position = store.next_position(participant)
        if position >= len(order):
            return {"done": True, "position": position, "total": len(order)}
        clock.show(participant, position)
        images = [f"/image/{participant}/{position}/{side}" for side in ("left", "right")]
        ahead = [f"/image/{participant}/{position + 1}/{side}" for side in ("left", "right")]
        return {
            "done": False, "position": position, "total": len(order), "images": images,
            "ahead": ahead if position + 1 < len(order) else [], "least_seconds": least_seconds,
        }  # fmt: skip

    def start() -> Any:
        return redirect(f"/p/{secrets.token_urlsafe(9)}")

    def page(participant: str) -> Any:
        if not NAME.fullmatch(participant):
            abort(404)
        text = (TEMPLATES / "study.html").read_text(encoding="utf-8")
        for mark, name in (("/*style*/", "study.css"), ("/*script*/", "study.js")):
            text = text.replace(mark, (TEMPLATES / name).read_text(encoding="utf-8"))
        return Response(text, mimetype="text/html")

    def ask(participant: str) -> Any:
        return jsonify(state(participant)) if NAME.fullmatch(participant) else refused(404, "no such participant")

    def image(participant: str, position: int, side: str) -> Any:
        order = trials(study, participant, limit) if NAME.fullmatch(participant) else []
        if side not in ("left", "right") or position >= len(order):
            abort(404)
        trial = order[position]
        path = study.file(trial.left if side == "left" else trial.right, trial.image)
        return send_file(path.resolve(), mimetype="image/png", max_age=0)

    def vote(participant: str) -> Any:
        body = request.get_json(silent=True)
        if not NAME.fullmatch(participant) or not isinstance(body, dict):
            return refused(400, 'a vote is JSON: {"position": 0, "choice": "left"}')
        position, choice = body.get("position"), body.get("choice")
        if type(position) is not int or choice not in CHOICES:
            return refused(400, f"expected a position and a choice of {', '.join(CHOICES)}")
        order = trials(study, participant, limit)
        expected = store.next_position(participant)
        if position != expected or position >= len(order):
            return refused(409, f"the next pair is number {expected}, the vote is for number {position}")
        seconds = clock.seconds(participant, position)
        if seconds is None:
            clock.show(participant, position)
            return refused(409, "this pair has not been shown yet; look at it first")
        if seconds < least_seconds:
            return refused(429, f"look at the pair for at least {least_seconds:g} s")
        if clock.too_fast(participant, per_minute):
            return refused(429, f"more than {per_minute} votes a minute; take your time")
        if not store.add(participant, position, order[position], study, choice, seconds):
            return refused(409, "this pair has a vote already")
        return jsonify(state(participant) | {"stored": position})

    app.after_request(headers)
    app.add_url_rule("/", "start", start)
    app.add_url_rule("/p/<participant>", "page", page)
    app.add_url_rule("/next/<participant>", "next", ask)
    app.add_url_rule("/image/<participant>/<int:position>/<side>", "image", image)
    app.add_url_rule("/vote/<participant>", "vote", vote, methods=["POST"])
    return app
