from __future__ import annotations

import pytest

from tests.chart.render import HELM, NODE, PYTHON, TOOLS

_NEEDED = {
    "helm": HELM,
    "node": NODE,
    "kubernetes-validate and checkov": PYTHON,
    "the schemas of custom resources": TOOLS / "node_modules" / "@kubernetes-models",
}
MISSING = [name for name, path in _NEEDED.items() if not path.exists()]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where a tool is missing, each test that is marked `chart` fails with one sentence that says so."""
    for item in items:
        if MISSING and item.get_closest_marker("chart"):
            item.add_marker(pytest.mark.usefixtures("tools"))


@pytest.fixture(scope="session")
def tools() -> None:
    pytest.fail(f"{', '.join(MISSING)} missing: `make test-chart` sets all up", pytrace=False)
