"""`inferway call`: one inference through a running server."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from inferway.cli.answers import explain, lines_of, plain, summary_of
from inferway.cli.asking import Asked, is_chat, make_body
from inferway.cli.choices import choose_model, choose_provider
from inferway.cli.patience import calling_options
from inferway.cli.pieces import Pieces
from inferway.cli.server import find_server, require_plain
from inferway.cli.spinner import Spinner
from inferway.cli.verb import Voice, examples, verb
from inferway.client import APIError, Client, ConnectionFailed
from inferway.settings import Settings

_LONGEST_S = 150.0
_MARGIN_S = 15.0
"""How much longer than the server's own deadline is waited for its answer."""


@click.command(
    short_help="Send one inference to a server and print the answer.",
    epilog=examples(
        "inferway call 'Why is the sky blue?' --provider openai --model gpt-5.4-mini",
        "inferway call 'What is this?' --image photo.jpg --image https://example.com/b.png ...",
        "git diff | inferway call - --system 'Review this.' --provider anthropic --model claude-haiku-4-5",
        "inferway call --audio speech.wav --provider openai --model whisper-1",
        "inferway call --texts lines.txt --json | jq .data.embeddings",
    ),
)
@click.argument("prompts", nargs=-1)
@click.option(
    "--provider",
    shell_complete=choose_provider,
    help="openai, google, anthropic, local, ...  [default: local]",
)
@click.option(
    "--model",
    shell_complete=choose_model,
    help="The provider's own model name.  [default with local: the best that is here]",
)
@click.option("--system", help="What the model is told to be.")
@click.option(
    "--image",
    multiple=True,
    type=click.Path(),
    metavar="FILE|URL",
    help="For the prompt, or (without one) to embed; repeatable.",
)
@click.option("--document", type=click.Path(), metavar="FILE|URL", help="A PDF for the prompt.")
@click.option("--audio", type=click.Path(), metavar="FILE|URL", help="A recording to transcribe.")
@click.option("--video", type=click.Path(), metavar="FILE|URL", help="A film to embed.")
@click.option("--text", "texts", multiple=True, help="Embed this text; several give several vectors.")
@click.option("--texts", "texts_file", type=click.Path(), metavar="FILE", help="Embed each line of a file.")
@click.option("--messages", type=click.Path(), metavar="FILE", help="Go on with this conversation (JSON).")
@click.option("--schema", type=click.Path(), metavar="FILE", help="JSON Schema that the answer must follow.")
@click.option("--tools", type=click.Path(), metavar="FILE", help="Tools that the model may call (JSON).")
@click.option(
    "-p",
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter, e.g. temperature=0.2; repeatable.",
)
@click.option(
    "--body",
    type=click.Path(),
    metavar="FILE",
    help="The whole body of the call (JSON), instead of all above.",
)
@click.option(
    "--fallback",
    "fallbacks",
    multiple=True,
    metavar="PROVIDER/MODEL",
    help="Who answers when the one before fails; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent and cost; nobody is called.")
@click.option(
    "--stream/--no-stream", default=None, help="Print the answer as it comes.  [default: on a terminal]"
)
@click.option("--idempotency-key", metavar="KEY", help="Sent again with the same key, the call is paid once.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1, 3600), help="Seconds for the whole call.")
@calling_options(retries=0)
@verb()
def call(  # noqa: PLR0913 - one for each option that is not of the body
    *,
    settings: Settings,
    voice: Voice,
    stream: bool | None,
    idempotency_key: str | None,
    retries: int,
    wait_s: float,
    namespace: str | None,
    **given: Any,
) -> None:
    """Send one inference to a running server and print the answer.

    Each PROMPT is answered on its own. `-` in the place of a prompt, a text or a file is standard input, also for sound and
    pictures. Which server: --data-dir's, or client.url in the settings.
    """
    asked = Asked(**given)
    body = make_body(asked)
    if idempotency_key is not None:
        require_plain("--idempotency-key", idempotency_key)
    address = find_server(settings, namespace)
    timeout_s = _LONGEST_S if asked.timeout_s is None else asked.timeout_s + _MARGIN_S
    client = Client(address.url, address.api_key, address.namespace, timeout_s=timeout_s, retries=retries)
    if stream is None:
        stream = (
            sys.stdout.isatty()
            and not voice.as_json
            and is_chat(body)
            and not asked.dry_run
            and not asked.schema
        )
    once = _print_stream if stream else _print_whole
    try:
        with client:
            _patiently(lambda spinner: once(client, body, idempotency_key, voice, spinner), voice, wait_s)
    except ConnectionFailed as error:
        advice = "Try again." if error.sent else "Start one with `inferway serve`, or set client.url."
        voice.fail(f"{address.url}: {error}. {advice}")
    except APIError as error:
        voice.fail(explain(error), error.envelope)


def _patiently(once: Callable[[Spinner], None], voice: Voice, wait_s: float) -> None:
    """Calls; a local model that is still being fetched or loaded is waited for."""
    ends_at = time.monotonic() + wait_s
    with Spinner(live=voice.is_live) as spinner:
        while True:
            try:
                once(spinner)
            except APIError as error:
                pause_s = max(0.5, error.retry_after_s or 1.0)
                if error.code != "model_warming" or time.monotonic() + pause_s > ends_at:
                    raise
                spinner.say(str(error))
                time.sleep(pause_s)
            else:
                return


def _print_whole(
    client: Client, body: dict[str, Any], key: str | None, voice: Voice, spinner: Spinner
) -> None:
    answer = client.infer(body, idempotency_key=key)
    spinner.stop()
    voice.tell(answer, map(plain, lines_of(answer)))
    voice.note(summary_of(answer))


def _print_stream(
    client: Client, body: dict[str, Any], key: str | None, voice: Voice, spinner: Spinner
) -> None:
    """Prints text as it comes (with --json: each event as a line)."""
    pieces = Pieces(lambda text: click.echo(text, nl=False))
    with client.infer_streamed(body, idempotency_key=key) as stream:
        for event in stream:
            spinner.stop()
            if voice.as_json:
                click.echo(json.dumps({"event": event.name, **event.data}, ensure_ascii=False))
                continue
            pieces.take(event)
            if event.name == "done":
                voice.note(summary_of(event.data))
