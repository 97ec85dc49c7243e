"""Whether the server of this container works, for health checks: ``python -m whisper_serve.health gateway``.

It ends with exit code 0, or 1 and a sentence. It asks on this machine, at the ports that the environment names.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Final

SECONDS: Final = 3.0
"""How long the answer may take."""


def gateway() -> str | None:
    """What is wrong with the gateway: nothing if it answers at all, since it holds requests while there is no model."""
    from whisper_serve.gateway.settings import GatewaySettings

    url = f"http://127.0.0.1:{GatewaySettings.read({}).port}/livez"
    # Never by a proxy, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=SECONDS):
            return None
    except urllib.error.URLError as error:
        return f"{url} does not answer: {error.reason}"
    except OSError as error:
        return f"{url} does not answer: {error}"


def torchserve() -> str | None:
    """What is wrong with TorchServe: nothing if a worker of the model is ready."""
    from whisper_serve.torchserve.endpoints import Endpoints
    from whisper_serve.torchserve.readiness import has_ready_worker

    model = os.environ.get("WHISPER_MODEL", "whisper")
    return None if has_ready_worker(Endpoints(), model, timeout=SECONDS) else f"no worker of {model} is ready"


CHECKS: Final[Mapping[str, Callable[[], str | None]]] = {"gateway": gateway, "torchserve": torchserve}


def main(arguments: list[str]) -> str | None:
    """The sentence about what is wrong, if anything is."""
    check = CHECKS.get(arguments[0]) if len(arguments) == 1 else None
    return check() if check else f"usage: python -m whisper_serve.health {'|'.join(CHECKS)}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
