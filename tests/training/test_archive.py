"""Arrays and one text in a file: what is read of it, and what is refused."""

from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pytest

from hw.errors import InputError
from training.archive import pack, read_archive, read_arrays, write_archive

ARRAYS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b/c": np.array([True, False]), "d.e": np.zeros((0, 4))}


def test_arrays_and_text_come_back(tmp_path):
    text = {"seed": (1 << 128) - 1, "name": "x"}
    write_archive(tmp_path / "a.npz", ARRAYS, text)
    arrays, found = read_archive(tmp_path / "a.npz", "a checkpoint")
    assert found == text and arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    assert pack(ARRAYS, text) == pack(dict(ARRAYS), dict(text)) == (tmp_path / "a.npz").read_bytes()


def test_only_what_is_named_is_read():
    """Of others no byte counts: 6 numbers of 4 bytes behind a header of 128."""
    content = pack(ARRAYS, {"more": "x" * 999})
    assert read_arrays(content, ("a.weight", "gone"), most_bytes=152).keys() == {"a.weight"}
    assert read_arrays(content, most_bytes=1 << 20).keys() == {"json", *ARRAYS}
    with pytest.raises(ValueError, match="the arrays are too large"):
        read_arrays(content, ("a.weight",), most_bytes=151)


@pytest.mark.parametrize("shape", [(-1, 6), (3, 3), (5,), (2**40,)])
def test_a_header_that_claims_what_is_not_there_is_refused(shape):
    entry, archive = BytesIO(), BytesIO()
    np.lib.format.write_array_header_1_0(entry, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with ZipFile(archive, "w") as packed:
        packed.writestr("a.npy", entry.getvalue() + bytes(24))
    with pytest.raises(ValueError, match=r"a\.npy is not as large as it says"):
        read_arrays(archive.getvalue(), most_bytes=1 << 20)


@pytest.mark.parametrize("content", [b"", b"PK", pack({}, {})[:-9], pack({}, [1])])
def test_what_is_none_is_named(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz: not a checkpoint, or a damaged one$"):
        read_archive(tmp_path / "a.npz", "a checkpoint")
    with pytest.raises(InputError, match=r"b\.npz: no such file$"):
        read_archive(tmp_path / "b.npz", "a checkpoint")
