"""What is measured: each target starts before a mock upstream and says where it listens."""

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
VENV = HERE / ".venv"


class Missing(Exception):
    """The target cannot be measured on this machine, and why."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where and how a target is called."""

    pid: int
    port: int
    model: str = "mock"
    key: str | None = None


def free_port():
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url, **headers):
    """GETs a page; returns its status, or 0 while nobody answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


class Process:
    """A started command with a folder of its own, where its output goes, too."""

    def __init__(self, folder, command, environment=None):
        self.folder = folder
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                [str(part) for part in command],
                cwd=folder,
                env=os.environ | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self.child.pid

    def wait_until(self, ready, seconds=90):
        """Waits for a condition.

        Raises RuntimeError with the end of the log when the process ends or the time is over.
        """
        end = time.monotonic() + seconds
        while not ready():
            if self.child.poll() is not None or time.monotonic() > end:
                self.stop()
                tail = " ".join(self.log.read_text(errors="replace")[-300:].split())
                raise RuntimeError(f"{Path(self.child.args[0]).name} did not become ready: {tail}")
            time.sleep(0.05)

    def stop(self):
        """Ends it in order; with its children by force when that takes more than ten seconds."""
        if self.child.poll() is None:
            self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self.child.wait()


def start_mock(binary, folder, gap_milliseconds=0, chunks=50):
    """Starts the upstream. Returns its process and port."""
    folder.mkdir()
    port = free_port()
    process = Process(folder, [binary, f"127.0.0.1:{port}", chunks, gap_milliseconds])
    process.wait_until(lambda: fetch(f"http://127.0.0.1:{port}/health") == 200)
    return process, port


class Direct:
    """No gateway: the mock itself, so that what a gateway adds can be told."""

    name = "mock, direct"
    slug = "direct"

    def __init__(self, mock_binary):
        self.mock_binary = mock_binary

    def version(self):
        return ""

    def start(self, folder, _upstream_port):
        self.process, port = start_mock(self.mock_binary, folder)
        return Endpoint(self.process.pid, port)

    def stop(self):
        self.process.stop()


class Nginx:
    """The floor."""

    name = "nginx"
    slug = "nginx"

    def version(self):
        binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if not binary:
            raise Missing("nginx is not installed (apt-get install nginx-light)")
        self.binary = binary
        said = subprocess.run([binary, "-v"], capture_output=True, text=True, check=True)
        return said.stderr.strip().rpartition("/")[2]

    def start(self, folder, upstream_port):
        folder.mkdir()
        port = free_port()
        values = {"FOLDER": folder, "PORT": port, "UPSTREAM": f"127.0.0.1:{upstream_port}"}
        text = (HERE / "nginx.conf").read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        (folder / "nginx.conf").write_text(text)
        self.process = Process(folder, [self.binary, "-p", folder, "-e", folder / "error.log", "-c", "nginx.conf"])
        self.process.wait_until(lambda: fetch(f"http://127.0.0.1:{port}/health") == 200)
        return Endpoint(self.process.pid, port)

    def stop(self):
        self.process.stop()


class FromPyPI:
    """A peer that installs into the benchmark's own virtual environment."""

    package = ""

    def version(self):
        if not (VENV / "bin" / self.slug).exists():
            raise Missing(f"{self.package} could not be installed from PyPI")
        command = [VENV / "bin" / "python", "-c", "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"]
        said = subprocess.run([*command, self.package], capture_output=True, text=True, check=True)
        return said.stdout.strip()

    def stop(self):
        self.process.stop()


class VllmRouter(FromPyPI):
    """vLLM's router: Rust, no keys, no accounts. As shipped, but for a quieter log."""

    name = "vllm-router"
    slug = "vllm-router"
    package = "vllm-router"

    def start(self, folder, upstream_port):
        folder.mkdir()
        port = free_port()
        self.process = Process(folder, [
            VENV / "bin" / "vllm-router", "--host", "127.0.0.1", "--port", port, "--policy", "round_robin",
            "--worker-urls", f"http://127.0.0.1:{upstream_port}", "--prometheus-port", free_port(),
            "--log-level", "warning",
        ])
        self.process.wait_until(lambda: fetch(f"http://127.0.0.1:{port}/health") == 200)
        return Endpoint(self.process.pid, port)


class LiteLlm(FromPyPI):
    """LiteLLM's proxy, one worker, one key, no database: no virtual keys, budgets or spend log."""

    name = "LiteLLM"
    slug = "litellm"
    package = "litellm"
    key = "sk-bench-gateway"

    def start(self, folder, upstream_port):
        folder.mkdir()
        port = free_port()
        (folder / "config.yaml").write_text(f"""\
model_list:
  - model_name: mock
    litellm_params:
      model: openai/mock
      api_base: http://127.0.0.1:{upstream_port}/v1
      api_key: none
general_settings:
  master_key: {self.key}
""")
        # Neither of the two changes the path of a request: no price list from the network, no telemetry.
        environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        self.process = Process(folder, [
            VENV / "bin" / "litellm", "--config", "config.yaml", "--host", "127.0.0.1", "--port", port,
            "--num_workers", 1, "--telemetry", "False",
        ], environment)
        self.process.wait_until(lambda: fetch(f"http://127.0.0.1:{port}/health/liveliness") == 200, 180)
        return Endpoint(self.process.pid, port, key=self.key)
