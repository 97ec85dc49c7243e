"""Renders the plain manifests in k8s/ from the chart.

    python -m scripts.manifests          # writes them
    python -m scripts.manifests --check  # only says whether they are up to date

Helm is taken from HELM, else from .chart-tools, where `make manifests` puts it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Final

from scripts.generated import ROOT, run

CHART: Final = ROOT / "helm" / "whisper"
KUBE_VERSION: Final = "1.30.0"
RENDERED: Final = {"k8s/base/whisper.yaml": "defaults", "k8s/cpu/whisper.yaml": "cpu"}
"""Each file, and the case of the chart's ci/ whose values it has."""
HEADER: Final = "# Rendered from helm/whisper with ci/{case}-values.yaml by `make manifests`. Do not edit.\n"
# What only Helm has a use for.
_HELMS: Final = re.compile(r"^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n|^# Source: .*\n", re.MULTILINE)


def render(case: str) -> str:
    """The manifests of a case."""
    helm = os.environ.get("HELM", str(ROOT / ".chart-tools" / "helm" / "helm"))
    values = CHART / "ci" / f"{case}-values.yaml"
    command = [helm, "template", "whisper", str(CHART), "--namespace=whisper", f"--kube-version={KUBE_VERSION}"]
    command += [f"--values={values}", "--set=test.enabled=false"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return HEADER.format(case=case) + _HELMS.sub("", done.stdout)


def main() -> int:
    files = {ROOT / name: render(case) for name, case in RENDERED.items()}
    return run("Render the plain manifests in k8s/ from the chart.", files, "manifests")


if __name__ == "__main__":
    sys.exit(main())
