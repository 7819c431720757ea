import pytest


def pytest_addoption(parser):
    parser.addoption("--deeper", type=int, default=1, help="how many times as many cycles bounded proofs search")


@pytest.fixture
def deeper(request):
    """A bound in cycles, multiplied as the command line asks."""
    return lambda cycles: cycles * request.config.getoption("--deeper", default=1)
