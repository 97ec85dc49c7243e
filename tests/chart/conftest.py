from __future__ import annotations

import shutil

import pytest

from tests.chart.render import HELM, PYTHON, TOOLS

NEEDED = {
    "helm": HELM,
    "kubernetes-validate and checkov": PYTHON,
    "the schemas of custom resources": TOOLS / "node_modules" / "@kubernetes-models",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where a tool is missing, each test that is marked `chart` fails with one sentence that says so."""
    missing = [name for name, path in NEEDED.items() if not path.exists()]
    if not shutil.which("node"):
        missing.append("node")
    for item in items:
        if missing and item.get_closest_marker("chart"):
            item.add_marker(pytest.mark.usefixtures("tools"))


@pytest.fixture(scope="session")
def tools() -> None:
    pytest.fail(
        f"{', '.join(name for name, path in NEEDED.items() if not path.exists()) or 'node'} missing: "
        "`make test-chart` sets up all tools but node and npm, without root",
        pytrace=False,
    )
