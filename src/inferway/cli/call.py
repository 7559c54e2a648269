"""`inferway call`: one inference through a running server."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from inferway.cli.answers import lines_of, plain, summary_of
from inferway.cli.server import find_server
from inferway.cli.spinner import Spinner
from inferway.cli.verb import Voice, verb
from inferway.client import APIError, Client, ConnectionFailed
from inferway.errors import OperatorError
from inferway.settings import Settings

_FILE_MAX_BYTES = 200 * 1024 * 1024


@click.command(short_help="Send one inference to a server and print the answer.")
@click.argument("prompts", nargs=-1)
@click.option("--provider", default="local", show_default=True, help="openai, google, anthropic, local, ...")
@click.option("--model", help="The provider's own model name.  [default with local: the best that is here]")
@click.option("--system", help="What the model is told to be.")
@click.option("--text", "texts", multiple=True, help="Embed this text; several give several vectors.")
@click.option("--image", help="A file or URL, for the prompt or (without one) to embed.")
@click.option("--audio", help="A file or URL to transcribe.")
@click.option(
    "--param", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter, e.g. temperature=0.2."
)
@click.option("--schema", metavar="FILE", help="JSON Schema that the answer must follow.")
@click.option("--stream", is_flag=True, help="Print the answer as it comes.")
@click.option(
    "--wait",
    "wait_s",
    type=float,
    default=300.0,
    show_default=True,
    help="Seconds to wait for a local model.",
)
@verb()
def call(
    settings: Settings, voice: Voice, prompts: tuple[str, ...], *, stream: bool, wait_s: float, **given: Any
) -> None:
    """Send one inference to a running server and print the answer.

    Each PROMPT is answered on its own; `-` reads one from standard input. Which server: --data-dir's, or client.url in the settings.
    """
    body = make_body(tuple(sys.stdin.read() if prompt == "-" else prompt for prompt in prompts), **given)
    client = _client(settings)
    try:
        if stream:
            _stream(client, body, voice, wait_s)
        else:
            answer = _patiently(client, body, voice, wait_s)
            voice.tell(answer, map(plain, lines_of(answer)))
            voice.note(summary_of(answer))
    except ConnectionFailed as error:
        voice.fail(f"No answer from the server: {error}. Start one with `inferway serve`, or set client.url.")
    except APIError as error:
        voice.fail(_explain(error), error.envelope)


def make_body(prompts: tuple[str, ...], **given: Any) -> dict[str, Any]:
    """The request's body; raises `OperatorError` for files that cannot be read and options that mean nothing together."""
    inputs: dict[str, Any] = {}
    if prompts:
        inputs["prompts"] = list(prompts)
    if given["system"]:
        inputs["system"] = given["system"]
    if texts := given["texts"]:
        inputs |= {"text": texts[0]} if len(texts) == 1 else {"texts": list(texts)}
    for kind in ("image", "audio"):
        if given[kind]:
            inputs |= _media(kind, given[kind])
    if not inputs or inputs.keys() == {"system"}:
        raise OperatorError(
            "Nothing to ask. Give a prompt, --text, --image or --audio (`inferway call --help`)."
        )
    model = given["model"] or ("default" if given["provider"] == "local" else None)
    if model is None:
        raise OperatorError(f"--model is needed with --provider {given['provider']}.")
    parameters = dict(_parameters(given["parameters"]))
    if given["schema"]:
        parameters["schema"] = _json_file(given["schema"])
    body = {"provider": given["provider"], "model": model, "inputs": inputs}
    return body | ({"parameters": parameters} if parameters else {})


def _client(settings: Settings) -> Client:
    address = find_server(settings)
    return Client(address.url, address.api_key, address.namespace, retries=0)


def _patiently(client: Client, body: dict[str, Any], voice: Voice, wait_s: float) -> dict[str, Any]:
    """The answer; a local model that is still being fetched or loaded is waited for."""
    deadline = time.monotonic() + wait_s
    with Spinner(live=voice.is_live) as spinner:
        while True:
            try:
                return client.infer(body)
            except APIError as error:
                pause_s = max(0.5, error.retry_after_s or 1.0)
                if error.code != "model_warming" or time.monotonic() + pause_s > deadline:
                    raise
                spinner.say(str(error))
                time.sleep(pause_s)


def _stream(client: Client, body: dict[str, Any], voice: Voice, wait_s: float) -> None:
    """Prints text as it comes (with --json: each event as a line)."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            _print_events(client, body, voice)
        except APIError as error:
            pause_s = max(0.5, error.retry_after_s or 1.0)
            if error.code != "model_warming" or time.monotonic() + pause_s > deadline:
                raise
            time.sleep(pause_s)
        else:
            return


def _print_events(client: Client, body: dict[str, Any], voice: Voice) -> None:
    with client.infer_streamed(body) as stream:
        for event in stream:
            if voice.as_json:
                click.echo(json.dumps({"event": event.name, **event.data}, ensure_ascii=False))
            elif event.name == "delta":
                click.echo(plain(event.text), nl=False)
            elif event.name == "item":
                click.echo()
            elif event.name == "done":
                voice.note(summary_of(event.data))


def _media(kind: str, given: str) -> dict[str, str]:
    if given.startswith(("http://", "https://")):
        return {f"{kind}_url": given}
    # Only a media call needs it.
    import base64  # noqa: PLC0415

    return {f"{kind}_base64": base64.b64encode(_read(given)).decode("ascii")}


def _read(name: str) -> bytes:
    try:
        file = Path(name).expanduser()
        if file.stat().st_size > _FILE_MAX_BYTES:
            raise OperatorError(
                f"{name}: larger than {_FILE_MAX_BYTES // 1024 // 1024} MB. Give a smaller file."
            )
        return file.read_bytes()
    except OSError as error:
        raise OperatorError(
            f"{name}: {(error.strerror or 'unreadable').lower()}. Name a file that can be read."
        ) from None


def _json_file(name: str) -> Any:
    try:
        return json.loads(_read(name))
    except ValueError:
        raise OperatorError(f"{name}: this is not JSON. Mend it there.") from None


def _parameters(given: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """`name=value`; a value that is JSON is taken as JSON, else as text."""
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise OperatorError(f"--param {each}: write NAME=VALUE.")
        try:
            yield name, json.loads(text)
        except ValueError:
            yield name, text


def _explain(error: APIError) -> str:
    """The server's message, with where the trouble is and what to do."""
    findings = error.details.get("validation_errors", ())
    places = "; ".join(f"{'.'.join(map(str, each['location']))}: {each['message']}" for each in findings)
    hint = {401: " Use the key of the server's own data folder (--data-dir), or set INFERWAY_API_KEY."}.get(
        error.status, ""
    )
    code = f" [{error.status} {error.code}]" if error.code else f" [{error.status}]"
    return plain(f"{error}{': ' + places if places else ''}{code}{hint}")
