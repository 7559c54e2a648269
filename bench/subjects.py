"""What is measured: the gateway as a user starts it, and what it is compared with."""

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import free_port, spawn, wait_for_port

GATEWAY_CORE = 0
LOAD_CORE = 1

_NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 64m;
  client_body_buffer_size 8m;
  proxy_buffers 64 64k;
  keepalive_requests 1000000;
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""

_LITELLM = """
model_list:
  - model_name: gpt-4o-mini
    litellm_params: {{model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-bench}}
  - model_name: text-embedding-3-large
    litellm_params:
      {{model: openai/text-embedding-3-large, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-bench}}
general_settings: {{master_key: sk-bench-master}}
"""


@dataclass
class Subject:
    """A running program under test: where it listens and what a request to it looks like."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    path: str
    headers: Mapping[str, str]
    bodies: Mapping[str, bytes]
    ready_s: float = 0.0
    note: str = ""
    paths: Mapping[str, str] = field(default_factory=dict)

    def path_of(self, scenario: str) -> str:
        """The path of a scenario."""
        return self.paths.get(scenario, self.path)

    def stop(self) -> None:
        """End the process and wait for it."""
        self.process.terminate()
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


OPENAI_PATHS = {"embeddings": "/v1/embeddings"}


def start_upstream(bodies: Mapping[str, bytes], tls: tuple[Path, Path] | None = None) -> Subject:
    """The mock upstream, on the core of the load; with a certificate and its key it speaks TLS."""
    port = free_port()
    command = [sys.executable, "-m", "bench.upstream", "--port", str(port)]
    if tls is not None:
        command += ["--cert", str(tls[0]), "--key", str(tls[1])]
    process = spawn(command, core=LOAD_CORE)
    ready_s = wait_for_port(port, process)
    headers = {"content-type": "application/json"}
    return Subject(
        "direct", port, process, "/v1/chat/completions", headers, bodies, ready_s, paths=OPENAI_PATHS
    )


def start_nginx(upstream: int, bodies: Mapping[str, bytes], folder: Path) -> Subject | None:
    """A bare `proxy_pass`: the floor. None without the program."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        return None
    folder.mkdir()
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, upstream=upstream, port=port))
    process = spawn([program, "-c", str(config), "-p", str(folder)], core=GATEWAY_CORE)
    ready_s = wait_for_port(port, process)
    headers = {"content-type": "application/json"}
    return Subject(
        "nginx", port, process, "/v1/chat/completions", headers, bodies, ready_s, paths=OPENAI_PATHS
    )


def start_gateway(
    upstream: int,
    bodies: Mapping[str, bytes],
    folder: Path,
    ca_file: Path | None = None,
    observed: Mapping[str, str] | None = None,
    python: Path = Path(sys.executable),
) -> Subject:
    """`inferway serve` with a fresh data folder: authentication and the journal on, as they always are.

    `observed` are variables that say who observes the calls. The subject has the folder's name.
    """
    folder.mkdir()
    port = free_port()
    scheme = "http" if ca_file is None else "https"
    env = {
        "OPENAI_API_KEY": "sk-bench-0123456789",
        "OPENAI_BASE_URL": f"{scheme}://localhost:{upstream}/v1",
        # Nothing is downloaded while figures are taken.
        "INFERWAY_LOCAL__PULL_DEFAULTS": "false",
        # The limits are counted as always, and never reached.
        "INFERWAY_LIMITS__PER_MINUTE": "100000000",
        "INFERWAY_LIMITS__PER_SECOND": "10000000",
        "INFERWAY_LIMITS__BURST": "100000000",
        "INFERWAY_LIMITS__CONCURRENT": "10000",
    }
    if ca_file is not None:
        env["SSL_CERT_FILE"] = str(ca_file)
    env |= observed or {}
    command = [str(python), "-m", "inferway", "serve", "--port", str(port), "--data-dir", str(folder)]
    process = spawn([*command, "--json"], core=GATEWAY_CORE, env=env, log=folder / "serve.log")
    ready_s = wait_for_port(port, process)
    credentials = tomllib.loads((folder / "credentials.toml").read_text())
    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {credentials['inference_key']}",
        "x-namespace": credentials["namespace"],
    }
    name = folder.name
    return Subject(name, port, process, "/v1/inference", headers, bodies, ready_s)


def observed_by(sink: int) -> dict[str, dict[str, str]]:
    """Gateways that are observed less and more than by default, by their names."""
    return {
        "inferway-unobserved": {"INFERWAY_METRICS__ENABLED": "false"},
        "inferway-traced": {
            "INFERWAY_LOG__CALLS": "true",
            "INFERWAY_OTEL__ENDPOINT": f"http://127.0.0.1:{sink}",
        },
    }


def version_of(python: Path) -> str:
    """The version of an interpreter."""
    command = [str(python), "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


def start_sink() -> Subject:
    """An OpenTelemetry collector that takes everything, on the core of the load."""
    port = free_port()
    process = spawn([sys.executable, "-m", "bench.observe", "--sink", str(port)], core=LOAD_CORE)
    return Subject("sink", port, process, "/v1/traces", {}, {}, wait_for_port(port, process))


def start_litellm(upstream: int, bodies: Mapping[str, bytes], folder: Path, program: Path) -> Subject | None:
    """LiteLLM's proxy with one worker and a master key, when it is installed (bench/requirements-peers.txt)."""
    if not program.exists():
        return None
    folder.mkdir()
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(_LITELLM.format(upstream=upstream))
    command = [str(program), "--config", str(config), "--port", str(port), "--num_workers", "1"]
    process = spawn(command, core=GATEWAY_CORE, log=folder / "litellm.log")
    ready_s = wait_for_port(port, process, give_up_s=120)
    headers = {"content-type": "application/json", "authorization": "Bearer sk-bench-master"}
    return Subject(
        "litellm", port, process, "/v1/chat/completions", headers, bodies, ready_s, paths=OPENAI_PATHS
    )


def ask_once(subject: Subject, scenario: str) -> None:
    """Make one call and see that it is answered with 200 and a body; raises RuntimeError with what came instead."""
    command = ["curl", "-sS", "--max-time", "60", "-o", "-", "-w", "\n%{http_code}", "-X", "POST"]
    for name, value in subject.headers.items():
        command += ["-H", f"{name}: {value}"]
    command += ["--data-binary", "@-", f"http://127.0.0.1:{subject.port}{subject.path_of(scenario)}"]
    done = subprocess.run(command, input=subject.bodies[scenario], capture_output=True, check=True)
    body, _, status = done.stdout.rpartition(b"\n")
    if status != b"200" or not body:
        raise RuntimeError(f"{subject.name}, {scenario}: status {status.decode()}: {body[:500]!r}")
    json.loads(body)
