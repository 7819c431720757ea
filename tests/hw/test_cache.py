"""What is kept is what was made: its hash stands beside it."""

import pytest

from hw.cache import keep, kept, seal_of, sealed


@pytest.mark.parametrize("damaged", [b"", b"whol", b"wholf", b"whole."])
def test_what_was_damaged_is_made_again(tmp_path, damaged):
    path, made = tmp_path / "a" / "file", []
    for _ in range(2):
        assert kept(path, lambda: made.append(1) or b"whole") == b"whole"
    assert len(made) == 1
    path.write_bytes(damaged)
    assert sealed(path) is None
    assert kept(path, lambda: made.append(1) or b"whole") == b"whole"
    assert len(made) == 2 and sealed(path) == b"whole"


def test_a_file_without_its_hash_is_not_taken(tmp_path):
    keep(tmp_path / "file", b"x")
    seal_of(tmp_path / "file").unlink()
    assert sealed(tmp_path / "file") is None and sealed(tmp_path / "none") is None
