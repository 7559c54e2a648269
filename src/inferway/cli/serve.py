"""`inferway serve`: starts the server, and tells a newcomer what to paste."""

import contextlib
import json
from typing import Any

import click

from inferway.access.credentials import FILE_NAME, Credentials, find_credentials
from inferway.app.dashboard import sign_in_link
from inferway.app.desk import ModelDesk
from inferway.app.samples import Sample, local_samples, provider_samples
from inferway.app.serving import run_server
from inferway.cli.pulling import PullWatch
from inferway.cli.running import forget_running, note_running
from inferway.cli.verb import Voice, examples, verb
from inferway.errors import GatewayError, OperatorError
from inferway.settings import ProviderSettings, Settings


@click.command(
    short_help="Start the server.",
    epilog=examples("inferway serve --port 9000", "inferway serve --host 0.0.0.0 --workers 4"),
)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="TCP port to listen on; 0 takes a free one.  [default: 8080]")
@click.option("--workers", type=int, help="Worker processes.  [default: 1]")
@verb(host="server.host", port="server.port", workers="server.workers")
def serve(settings: Settings, voice: Voice) -> None:
    """Start the server and print a call to paste.

    With --json each event is one line on standard output: `ready`, `model` and `call` (with a `curl`).
    """
    welcome = Welcome(settings, voice)
    try:
        run_server(settings, welcome.greet)
    finally:
        welcome.end()
        forget_running(settings.data_dir)


class Welcome:
    """What is said once the server answers: where it is, what it can do, and calls that succeed when they are pasted."""

    def __init__(self, settings: Settings, voice: Voice) -> None:
        self._settings = settings
        self._voice = voice
        self._desk = ModelDesk(settings)
        self._credentials: Credentials | None = None
        self._url = self._link = ""
        self._told: set[str] = set()
        self._watch: PullWatch | None = None

    def greet(self, url: str) -> None:
        """Says everything that is known now; what depends on model files still on their way follows."""
        self._url = url
        note_running(self._settings.data_dir, url)
        # A server goes on when nobody listens to it any more (`inferway serve | head`), or when the credentials cannot be read.
        with contextlib.suppress(OSError):
            try:
                self._credentials = find_credentials(self._settings.data_dir / FILE_NAME)
            except OperatorError as error:
                self._voice.note(str(error))
            self._link = self._make_link()
            self._introduce()
            self.offer_calls()
        if self._settings.local.enabled:
            self._watch = PullWatch(self._settings, self._desk, self._voice, self)
            self._watch.start()

    def end(self) -> None:
        """Stops what runs beside the server."""
        if self._watch is not None:
            self._watch.stop()

    def offer_calls(self) -> None:
        """Tells the calls that can be answered now and were not told yet."""
        samples = provider_samples(self._settings.providers)
        if self._settings.local.enabled:
            samples = (*local_samples(self._desk), *samples)
        for sample in samples:
            if sample.title not in self._told:
                self._told.add(sample.title)
                self._offer(sample)

    def model_ready(self, model: str) -> None:
        """A model's files have come."""
        with contextlib.suppress(OSError):
            if self._voice.as_json:
                _event("model", model=model, state="pulled")
            self.offer_calls()

    def _make_link(self) -> str:
        if not self._settings.dashboard.enabled:
            return ""
        try:
            return sign_in_link(self._settings, self._url)
        except (OperatorError, GatewayError) as error:
            self._voice.note(str(error))
            return ""

    def _introduce(self) -> None:
        settings = self._settings
        providers = [name for name, chosen in settings.providers.items() if is_configured(chosen)]
        models = {each.id: each.state for each in self._desk.list()} if settings.local.enabled else {}
        credentials = self._credentials
        if self._voice.as_json:
            _event(
                "ready",
                url=self._url,
                namespace=credentials.namespace if credentials else None,
                api_key=credentials.inference_key if credentials else None,
                providers=[*(["local"] if settings.local.enabled else []), *providers],
                models=models,
                data_dir=str(settings.data_dir),
                dashboard=self._link or None,
                workers=settings.server.workers,
            )
            return
        click.echo(f"\nInferway answers at {click.style(self._url, bold=True)} (Ctrl-C stops it)\n")
        if self._link:
            click.echo(f"Dashboard, signed in once by this link:\n\n{self._link}\n")
        click.echo(f"  data       {settings.data_dir}")
        click.echo(f"  settings   {settings.config_file or 'defaults and environment'}")
        click.echo(f"  keys       {_keys_line(settings, credentials)}")
        click.echo(f"  providers  {', '.join(providers) or _PROVIDER_HINT}")
        click.echo(f"  local      {self._local_line(models)}")

    def _local_line(self, models: dict[str, Any]) -> str:
        if not models:
            return "off"
        missing = {package for each in self._desk.defaults() for package in self._desk.missing_packages(each)}
        if missing:
            return f"not installed: pip install 'inferway[local]' ({', '.join(sorted(missing))})"
        ready = [model for model, state in models.items() if state == "pulled"]
        return ", ".join(ready) or "no model is here yet"

    def _offer(self, sample: Sample) -> None:
        if self._credentials is None:
            return
        line = sample.curl(self._url, self._credentials.inference_key, self._credentials.namespace)
        if self._voice.as_json:
            _event(
                "call", provider=sample.provider, model=sample.model, operation=sample.operation, curl=line
            )
            return
        click.echo(f"\n{sample.title}:\n\n{line}\n")


_PROVIDER_HINT = "none with a key yet (set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY)"


def is_configured(chosen: ProviderSettings) -> bool:
    """Whether a provider can be called: it is enabled and has what it needs."""
    if not chosen.enabled:
        return False
    has_key = bool(chosen.api_key or chosen.auth_token or chosen.credentials_file)
    return has_key or chosen.kind in ("openai_compatible", "fake")


def _keys_line(settings: Settings, credentials: Credentials | None) -> str:
    if credentials is None:
        return "the credentials file is gone: `inferway key create --name NAME` makes a new key"
    return f"{settings.data_dir / FILE_NAME} (only you can read it)"


def _event(kind: str, **fields: Any) -> None:
    click.echo(json.dumps({"event": kind, **fields}, ensure_ascii=False))
