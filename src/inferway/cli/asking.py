"""What `inferway call` sends: its options as the body of a call."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from inferway.client.requests import media
from inferway.errors import OperatorError, UsageError

_FILE_MAX_BYTES = 200 * 1024 * 1024
_STANDARD = "-"
_MEDIA = ("image", "document", "audio", "video")
_OF_MEDIA = tuple(f"--{kind}" for kind in _MEDIA)
_NOTHING = "Nothing to ask. Give a prompt, --text, --image, --audio, --video, --messages or --body (`inferway call --help`)."


class Asked(Struct, frozen=True, kw_only=True):
    """The options that make a body. Files are named by path, media by path or URL; `-` is standard input, for one of them."""

    prompts: tuple[str, ...] = ()
    provider: str | None = None
    model: str | None = None
    system: str | None = None
    texts: tuple[str, ...] = ()
    texts_file: str | None = None
    image: tuple[str, ...] = ()
    document: str | None = None
    audio: str | None = None
    video: str | None = None
    messages: str | None = None
    tools: str | None = None
    schema: str | None = None
    parameters: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    timeout_s: float | None = None
    dry_run: bool = False
    body: str | None = None


def make_body(asked: Asked) -> dict[str, Any]:
    """The request's body; raises `OperatorError` for files that cannot be read and options that mean nothing together."""
    _check_standard_input(asked)
    body = _given_body(asked) if asked.body is not None else _made_body(asked)
    if asked.dry_run:
        body["dry_run"] = True
    if asked.timeout_s is not None:
        body["parameters"] = {**(body.get("parameters") or {}), "timeout_s": asked.timeout_s}
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (UnicodeEncodeError, ValueError):
        raise OperatorError(
            "What was given cannot be sent: text must be UTF-8, and numbers finite."
        ) from None
    return body


def is_chat(body: dict[str, Any]) -> bool:
    """Whether a body asks for text, which can come in pieces."""
    inputs = body.get("inputs")
    return isinstance(inputs, dict) and ("prompts" in inputs or "messages" in inputs)


def _given_body(asked: Asked) -> dict[str, Any]:
    free = Asked(body=asked.body, dry_run=asked.dry_run, timeout_s=asked.timeout_s)
    if asked != free:
        raise UsageError(
            "--body is the whole call: write the prompt, the model and the parameters into the file."
        )
    body = _json_of(str(asked.body), "--body")
    if not isinstance(body, dict):
        raise OperatorError("--body: this is no JSON object. See docs/api.md for what a call is.")
    return body


def _made_body(asked: Asked) -> dict[str, Any]:
    inputs = dict(_inputs(asked))
    if not inputs.keys() - {"system"}:
        raise UsageError(_NOTHING)
    provider = asked.provider or "local"
    model = asked.model or ("default" if provider == "local" else None)
    if model is None:
        raise UsageError(f"--model is needed with --provider {provider}.")
    body: dict[str, Any] = {"provider": provider, "model": model, "inputs": inputs}
    if asked.fallbacks:
        body["fallbacks"] = list(map(_target, asked.fallbacks))
    parameters = dict(_parameters(asked.parameters))
    for name, file in (("schema", asked.schema), ("tools", asked.tools)):
        if file is not None:
            parameters[name] = _json_of(file, f"--{name}")
    return body | ({"parameters": parameters} if parameters else {})


def _inputs(asked: Asked) -> Iterator[tuple[str, Any]]:
    if asked.prompts:
        yield "prompts", [_text(prompt) for prompt in asked.prompts]
    if asked.messages is not None:
        yield "messages", _json_of(asked.messages, "--messages")
    if asked.system is not None:
        yield "system", asked.system
    texts = [_text(text) for text in asked.texts]
    if asked.texts_file is not None:
        lines = decoded(_read(asked.texts_file, "--texts"), asked.texts_file).splitlines()
        texts += [line for line in lines if line.strip()]
        if not texts:
            raise OperatorError(f"--texts {asked.texts_file}: there is no text in it. Write one a line.")
    if asked.texts_file is not None or len(texts) > 1:
        yield "texts", texts
    elif texts:
        yield "text", texts[0]
    for kind in _MEDIA:
        given = getattr(asked, kind)
        sources = given if isinstance(given, tuple) else (() if given is None else (given,))
        yield from media(kind, [_source(f"--{kind}", each) for each in sources]).items()


def _check_standard_input(asked: Asked) -> None:
    named = (*asked.prompts, *asked.texts, *asked.image, asked.texts_file, asked.messages, asked.tools)
    named += (asked.document, asked.audio, asked.video, asked.schema, asked.body)
    if named.count(_STANDARD) > 1:
        raise UsageError(
            "`-` stands there more than once, and standard input can be read once. Name files instead."
        )


def _source(option: str, given: str) -> str | bytes:
    return given if given.startswith(("http://", "https://", "data:")) else _read(given, option)


def _text(given: str) -> str:
    return decoded(_read(given, "`-`"), "standard input") if given == _STANDARD else given


def decoded(content: bytes, name: str) -> str:
    """Text from bytes; raises `OperatorError` for anything but UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise OperatorError(
            f"{name}: this is not text in UTF-8. For sound, pictures or film say --audio, --image or --video with it."
        ) from None


def _read(name: str, option: str) -> bytes:
    """A file's bytes or those of standard input, as many as may be sent."""
    if name == _STANDARD:
        content = sys.stdin.buffer.read(_FILE_MAX_BYTES + 1)
        if not content:
            raise OperatorError(f"{option}: standard input is empty. Pipe something in, or name a file.")
    else:
        try:
            with Path(name).expanduser().open("rb") as opened:
                content = opened.read(_FILE_MAX_BYTES + 1)
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            or_url = ", or a URL" if option in _OF_MEDIA else ""
            raise OperatorError(f"{option} {name}: {reason}. Name a file that can be read{or_url}.") from None
        if not content:
            raise OperatorError(f"{option} {name}: the file is empty.")
    if len(content) > _FILE_MAX_BYTES:
        or_url = ", or a URL of it" if option in _OF_MEDIA else ""
        raise OperatorError(
            f"{option} {name}: larger than {_FILE_MAX_BYTES // 1024 // 1024} MiB. Give a smaller file{or_url}."
        )
    return content


def _json_of(name: str, option: str) -> Any:
    try:
        return json.loads(_read(name, option))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise OperatorError(f"{option} {name}: this is not JSON: {error.msg.lower()} at {place}.") from None
    except (ValueError, RecursionError):
        raise OperatorError(f"{option} {name}: this is not JSON that can be read. Mend it there.") from None


def _target(text: str) -> dict[str, str]:
    provider, slash, model = text.partition("/")
    if not (slash and provider and model):
        raise UsageError(f"--fallback {text}: write PROVIDER/MODEL, such as openai/gpt-5.4-mini.")
    return {"provider": provider, "model": model}


def _parameters(given: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """`name=value`; a value that is JSON is taken as JSON, else as text."""
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise UsageError(f"--param {each}: write NAME=VALUE.")
        try:
            yield name, json.loads(text)
        except (ValueError, RecursionError):
            yield name, text
