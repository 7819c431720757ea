"""Readers of data sets, on tiny archives made here."""

import os
import pickle
import tarfile
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from hw.errors import InputError
from training.data import load_data
from training.readers import files
from training.readers.augment import CropAndFlip
from training.readers.files import members
from training.readers.pickles import read_pickle
from training.readers.pictures import Pictures

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def binary(label_bytes, labels=range(6)):
    """CIFAR records; of two labels the first is the coarse one."""
    coarse = bytes([9]) if label_bytes == 2 else b""
    return b"".join(coarse + bytes([label]) + image.tobytes() for label, image in zip(labels, IMAGES, strict=True))


def pickled(key, labels=range(6)):
    return pickle.dumps({b"data": IMAGES.reshape(6, -1), key: list(labels), b"batch_label": b"x"}, protocol=2)


def folder(path, contents):
    path.mkdir()
    for name, content in contents.items():
        (path / name).write_bytes(content)
    return path


def archive(path, contents):
    with tarfile.open(path, "w:gz") as packed:
        for name, content in contents.items():
            entry = tarfile.TarInfo(f"cifar/{name}")
            entry.size = len(content)
            packed.addfile(entry, BytesIO(content))
    return path


@pytest.mark.parametrize("pack", [folder, archive])
@pytest.mark.parametrize("form", ["binary", "python"])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_reads_alike_from_either_form(tmp_path, pack, form, name):
    names = NAMES if name == "cifar10" else ["train", "test"]
    content = (
        binary(1 + (name == "cifar100")) if form == "binary" else pickled(b"labels" if name == "cifar10" else b"fine_labels")
    )
    path = pack(tmp_path / "x", {f"{file}.bin" if form == "binary" else file: content for file in names})
    data = load_data(f"{name}:{path}")
    assert data.train_images.shape == ((30 if name == "cifar10" else 6), 32, 32, 3) and data.test_images.shape == (6, 32, 32, 3)
    np.testing.assert_array_equal(data.test_images, IMAGES.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(data.test_labels, range(6))
    numbers, _ = data.test_batch(slice(0, 6))
    mean, deviation = np.array(data.normalise.mean), np.array(data.normalise.deviation)
    np.testing.assert_allclose(numbers, (IMAGES.transpose(0, 2, 3, 1) / 255 - mean) / deviation, rtol=1e-5, atol=1e-5)
    assert numbers.dtype == np.float32 and data.batch(np.arange(4), RNG)[0].shape == (4, 32, 32, 3)


class Danger:
    def __reduce__(self):
        return (os.system, ("true",))


def test_a_pickle_is_read_and_never_run():
    with pytest.raises(InputError, match=r"f: not a data set's pickle: it names 'posix.system', which no array needs"):
        read_pickle(pickle.dumps({b"data": Danger()}), "f")
    with pytest.raises(InputError, match="an array of object, not of numbers"):
        read_pickle(pickle.dumps({b"data": np.array([None])}), "f")
    with pytest.raises(InputError, match="it holds a list"):
        read_pickle(pickle.dumps([1]), "f")
    for protocol in range(pickle.HIGHEST_PROTOCOL):
        for array in (IMAGES, np.array([[1.5, 2]])):
            read = read_pickle(pickle.dumps({"data": array}, protocol=protocol), "f")
            np.testing.assert_array_equal(read[b"data"], array)


WHOLE = dict.fromkeys((f"{name}.bin" for name in NAMES), binary(1))


@pytest.mark.parametrize(
    "contents, message",
    [
        (WHOLE | {"data_batch_3.bin": binary(1)[:-1]}, "data_batch_3.bin: 18437 bytes are no whole number of records of 3073"),
        (WHOLE | {"test_batch.bin": b""}, "test_batch.bin: 0 bytes are no whole number"),
        ({name: content for name, content in WHOLE.items() if "_4" not in name}, "data_batch_4.bin is missing"),
        (WHOLE | {"data_batch_2.bin": binary(1, [0, 1, 2, 3, 4, 10])}, r"data_batch_2: labels must be in 0..9, not 0..10"),
        (dict.fromkeys(NAMES, pickled(b"fine_labels")), "data_batch_1: labels is missing"),
        (dict.fromkeys(NAMES, pickled(b"labels")[:-900]), "data_batch_1: not a data set's pickle: "),
        (
            dict.fromkeys(NAMES, pickle.dumps({b"data": IMAGES, b"labels": [1] * 6})),
            "data must be one row of 3072 bytes a label",
        ),
        *(
            (dict.fromkeys(NAMES, pickled(b"labels", labels)), "data_batch_1: labels must be one integer an image")
            for labels in ("abcdef", [1, [2]], [], [2**70])
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, contents, message):
    with pytest.raises(InputError, match=message) as raised:
        load_data(f"cifar10:{folder(tmp_path / 'x', contents)}")
    assert "\n" not in str(raised.value)


def test_an_archive_is_of_a_gigabyte_at_most(tmp_path):
    """What its members claim counts, before any is unpacked: of 2³⁰ bytes there is one that is not there."""
    for size, told in (
        (2**30, "not a whole tar archive"),
        (2**30 + 1, r"too large: at most 1,073,741,824 bytes in 10,000 files$"),
    ):
        entry = tarfile.TarInfo("a")
        entry.size = size
        (tmp_path / "x.tar").write_bytes(entry.tobuf() + bytes(1024))
        with pytest.raises(InputError, match=told):
            members(tmp_path / "x.tar")


def test_so_many_files_are_not_too_many(tmp_path, monkeypatch):
    """Nor those of an archive; one more is."""
    monkeypatch.setattr(files, "MOST_FILES", 3)
    for path, told in (
        (archive(tmp_path / "x.tar.gz", dict.fromkeys("abc", b"1")), "too large: .* 3 files"),
        (folder(tmp_path / "x", dict.fromkeys("abc", b"1")), "too many files: at most 3"),
    ):
        assert members(path).keys() == set("abc")
        more = archive(path, dict.fromkeys("abcd", b"1")) if path.is_file() else path
        if path.is_dir():
            (path / "d").touch()
        with pytest.raises(InputError, match=told):
            members(more)


def test_a_part_of_a_picture_may_be_a_pixel_of_it_and_is_mirrored_half_of_the_time(tmp_path):
    """Of 2 x 2 pixels a part is one, two or all of them; of a row of 101, too narrow for a part, it is the middle."""
    pixels, rng = np.array([[0, 10], [50, 200]], np.uint8), np.random.default_rng(0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(np.arange(101, dtype=np.uint8)[None]).save(tmp_path / "b.png")

    def drawn(name, size, count):
        return Pictures([tmp_path / name], size, size).draw(np.zeros(count, int), rng)[..., 0]

    assert set(pixels.ravel()) < set(drawn("a.png", 1, 400).ravel())
    parts = drawn("a.png", 2, 400).tolist()
    plain, mirrored = parts.count(pixels.tolist()), parts.count(pixels[:, ::-1].tolist())
    assert plain > 20 and abs(mirrored / (plain + mirrored) - 0.5) < 0.15
    assert (drawn("b.png", 1, 20) == 50).all()


def test_a_truncated_archive_is_named(tmp_path):
    path = archive(tmp_path / "x.tar.gz", WHOLE)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"x.tar.gz: not a whole tar archive"):
        load_data(f"cifar10:{path}")
    with pytest.raises(InputError, match="no such file or folder"):
        load_data(f"cifar10:{tmp_path / 'y'}")
    with pytest.raises(InputError, match=r"data 'cifar10' needs a path: cifar10:PATH"):
        load_data("cifar10")


def picture(path, size, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_tiny_imagenet(tmp_path):
    (tmp_path / "wnids.txt").write_text("n2\nn1\n")
    for name, colour in (("n1", (255, 0, 0)), ("n2", (0, 255, 0))):
        picture(tmp_path / "train" / name / "images" / f"{name}_0.JPEG", (64, 64), colour)
    picture(tmp_path / "val" / "images" / "val_0.JPEG", (64, 64), (255, 0, 0))
    (tmp_path / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn1\t0\t0\t62\t62\n")
    data = load_data(f"tiny-imagenet:{tmp_path}")
    assert data.train_images.shape == (2, 64, 64, 3)
    assert data.train_labels.tolist() == [0, 1] and data.test_labels.tolist() == [1]
    assert abs(data.test_images[0, 0, 0].astype(int) - [255, 0, 0]).max() <= 2
    (tmp_path / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn3\n")
    with pytest.raises(InputError, match=r"val_annotations.txt, line 1: 'n3' is no class of wnids.txt"):
        load_data(f"tiny-imagenet:{tmp_path}")


def test_imagenet_folders_decode_when_asked(tmp_path):
    for split in ("train", "val"):
        for name, size in (("a", (300, 260)), ("b", (40, 90))):
            picture(tmp_path / split / name / "0.jpg", size, (0, 0, 255))
    data = load_data(f"imagenet:{tmp_path}")
    assert data.train_images.shape == (2, 224, 224, 3) and data.train_labels.tolist() == [0, 1]
    images, labels = data.batch(np.array([1, 0]), np.random.default_rng(0))
    assert images.shape == (2, 224, 224, 3) and labels.tolist() == [1, 0]
    (tmp_path / "val" / "b" / "0.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match=r"b/0.jpg: not a whole picture"):
        data.test_batch(slice(0, 2))
    with pytest.raises(InputError, match=r"train: no such folder"):
        load_data(f"imagenet:{tmp_path / 'val'}")


def test_crops_and_flips_are_parts_of_the_padded_image():
    images = RNG.integers(1, 256, (20, 6, 5, 3), dtype=np.uint8)
    results = CropAndFlip(2)(images, np.random.default_rng(1))
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    crops = set()
    for image, result in zip(padded, results, strict=True):
        places = [
            (row, column, step)
            for row in range(5)
            for column in range(5)
            for step in (1, -1)
            if np.array_equal(image[row : row + 6, column : column + 5][:, ::step], result)
        ]
        assert len(places) == 1
        crops.add(places[0])
    assert len(crops) > 10 and {step for *_, step in crops} == {1, -1}
    np.testing.assert_array_equal(CropAndFlip(2)(images, np.random.default_rng(1)), results)


def test_the_first_array_that_is_missing_is_named(tmp_path):
    """In the order in which they are asked for; beside what the archive has."""
    path = tmp_path / "some.npz"
    np.savez(path, train_images=np.zeros((2, 4), np.uint8), test_labels=np.zeros(2, np.uint8))
    with pytest.raises(InputError, match=r"some\.npz: array train_labels is missing; it has train_images, test_labels$"):
        load_data(str(path))
