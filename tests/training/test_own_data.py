"""Data of the user's own: arrays, IDX files, folders of pictures, a Python file."""

import gzip
import json

import numpy as np
import pytest
from PIL import Image

from hw.errors import InputError
from sim.cli import main
from training.data import digits, load_data
from training.readers.form import Form

RNG = np.random.default_rng(0)


def arrays(shape=(6, 5, 3), dtype=np.uint8, count=(20, 8), classes=4):
    made = {}
    for part, number in zip(("train", "test"), count, strict=True):
        images = RNG.integers(0, 256, (number, *shape))
        made[f"{part}_images"] = images.astype(dtype)
        made[f"{part}_labels"] = np.arange(number) % classes
    return made


def write(path, contents):
    np.savez(path, **contents)
    return str(path)


@pytest.mark.parametrize("shape, seen", [((6, 5, 3), (6, 5, 3)), ((6, 5), (6, 5, 1)), ((30,), (30,))])
def test_arrays_of_an_npz_are_taken_as_they_are(tmp_path, shape, seen):
    made = arrays(shape)
    data = load_data(write(tmp_path / "own.npz", made))
    images, labels = data.test_batch(slice(0, 8))
    np.testing.assert_allclose(images, made["test_images"].reshape(8, *seen) / 255, rtol=1e-6)
    np.testing.assert_array_equal(labels, made["test_labels"])
    assert data.augment is None and data.train_images.shape == (20, *seen)


def test_floating_point_images_are_not_scaled(tmp_path):
    made = arrays(dtype=np.float64)
    images, _ = load_data(write(tmp_path / "own.npz", made)).test_batch(slice(0, 8))
    np.testing.assert_array_equal(images, made["test_images"].astype(np.float32))


def change(name, value):
    return lambda made: made | {name: value(made[name])}


@pytest.mark.parametrize(
    "wrong, told",
    [
        (
            lambda made: {name: made[name] for name in made if name != "test_labels"},
            "array test_labels is missing; it has train_images,",
        ),
        (change("train_labels", lambda a: a[:-1]), r"train_labels must be one integer an image, 20, not int64 \(19,\)"),
        (change("train_labels", lambda a: a - 1), "train_labels must be at least 0, not -1"),
        (change("test_labels", lambda a: a + 9), "test_labels has class 12, train_labels none above 3"),
        (change("test_labels", lambda a: a.astype(float)), "test_labels must be one integer an image, 8, not float64"),
        (change("test_images", lambda a: a[:, 1:]), r"test_images are uint8 \(5, 5, 3\) each, train_images uint8 \(6, 5, 3\)"),
        (change("train_images", lambda a: a[..., None]), r"train_images must be \(samples, height, width, channels\) or"),
        (change("train_images", lambda a: a[:0]), r"train_images must be \(samples, height"),
        (change("train_images", lambda a: a.astype("S3")), "train_images must be uint8 or floating-point numbers"),
        (change("train_images", lambda a: np.full(a.shape, np.nan)), "train_images has numbers that are not finite"),
    ],
)
def test_what_is_wrong_with_an_array_is_told(tmp_path, wrong, told):
    path = write(tmp_path / "own.npz", wrong(arrays()))
    with pytest.raises(InputError, match=told):
        load_data(path)


def test_files_that_are_none_are_told(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match=r"a\.npz: not an \.npz of plain arrays, or a damaged one"):
        load_data(str(tmp_path / "a.npz"))
    np.savez(tmp_path / "b.npz", **(arrays() | {"train_labels": np.array([{}] * 20)}))
    with pytest.raises(InputError, match=r"b\.npz: not an \.npz of plain arrays"):
        load_data(str(tmp_path / "b.npz"))
    with pytest.raises(InputError, match="no such file"):
        load_data(str(tmp_path / "c.npz"))
    with pytest.raises(InputError, match=r"unknown data 'x'; allowed: digits, mnist:PATH, .*, FILE\.npz, FILE\.py$"):
        load_data("x")


def idx(array):
    shape = b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize("pack", [lambda content: content, gzip.compress], ids=["plain", "gzip"])
def test_idx_files_of_mnist(tmp_path, pack):
    made = arrays((28, 28), classes=10)
    ending = ".gz" if pack is gzip.compress else ""
    for split, part in (("train", "train"), ("t10k", "test")):
        (tmp_path / f"{split}-images-idx3-ubyte{ending}").write_bytes(pack(idx(made[f"{part}_images"])))
        (tmp_path / f"{split}-labels-idx1-ubyte{ending}").write_bytes(pack(idx(made[f"{part}_labels"])))
    data = load_data(f"mnist:{tmp_path}", Form(normalise="0.1307:0.3081"))
    images, labels = data.test_batch(slice(0, 3))
    expected = (made["test_images"][:3, ..., None] / 255 - 0.1307) / 0.3081
    np.testing.assert_allclose(images, expected, rtol=1e-5, atol=1e-6)
    assert labels.tolist() == [0, 1, 2]
    (tmp_path / f"t10k-images-idx3-ubyte{ending}").write_bytes(pack(idx(made["test_images"])[:-1]))
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte: 6271 bytes are not those of \(8, 28, 28\)"):
        load_data(f"mnist:{tmp_path}")
    (tmp_path / f"t10k-images-idx3-ubyte{ending}").unlink()
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte\.gz is missing"):
        load_data(f"mnist:{tmp_path}")


def test_folders_of_pictures(tmp_path):
    for part, count in (("train", 3), ("test", 2)):
        for place, name in enumerate(("cat", "dog")):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                picture = Image.fromarray(np.full((6, 6), 100 * place + number, np.uint8))
                picture.save(tmp_path / part / name / f"{number}.png")
    data = load_data(f"folder:{tmp_path}")
    images, labels = data.test_batch(slice(0, 4))
    assert images.shape == (4, 6, 6, 3) and labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(images[3], 101 / 255, rtol=1e-6)
    assert load_data(f"folder:{tmp_path}", Form(image_size=4)).train_images.shape == (6, 4, 4, 3)
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "train" / "cat" / "0.png")
    with pytest.raises(InputError, match="6x4 is no square; --image-size makes one of each picture"):
        load_data(f"folder:{tmp_path}")


def test_a_python_file(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("from training.data import digits\ndata = digits()\n")
    assert load_data(str(path)).test_labels.tolist() == digits().test_labels.tolist()
    wrong = {
        "": "must set data to a training.data.Data, not to NoneType",
        "1 / 0": "ZeroDivisionError",
        "exit(3)": "SystemExit: 3",
    }
    for text, told in wrong.items():
        path.write_text(text)
        with pytest.raises(InputError, match=told):
            load_data(str(path))


def test_what_is_asked_for_beside(tmp_path):
    made = arrays()
    path = write(tmp_path / "own.npz", made)
    pixels = made["train_images"].reshape(-1, 3) / 255
    data = load_data(path, Form(normalise="data", augment=True))
    assert data.normalise.mean == pytest.approx(pixels.mean(axis=0)) and data.normalise.deviation == pytest.approx(
        pixels.std(axis=0)
    )
    order = np.arange(20)
    assert data.batch(order, np.random.default_rng(1))[0].tobytes() != data.batch(order, np.random.default_rng(2))[0].tobytes()
    assert load_data(path, Form(normalise="0.5,0.4,0.3:0.2")).normalise.deviation == (0.2, 0.2, 0.2)
    raw = load_data(path, Form(normalise="none"))
    images = raw.normalise(made["train_images"])
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, made["train_images"] / 255, rtol=1e-6)  # bytes to 0..1
    numbers = {name: part / np.float32(85) if "images" in name else part for name, part in made.items()}
    raw = load_data(write(tmp_path / "numbers.npz", numbers), Form(normalise="none"))
    np.testing.assert_array_equal(raw.normalise(raw.train_images[:]), made["train_images"] / np.float32(85))  # as they are
    for wrong in ("x", "0.5", "0.5:0", "0.5,0.5:0.2", "nan:1"):
        with pytest.raises(InputError, match="normalise must be data, none, or mean:deviation with one number or 3 each"):
            load_data(path, Form(normalise=wrong))
    with pytest.raises(InputError, match=r"image_size is for folder:PATH, not for 'digits'"):
        load_data("digits", Form(image_size=8))
    with pytest.raises(InputError, match="augment needs images"):
        load_data(write(tmp_path / "flat.npz", arrays((30,))), Form(augment=True))


def call(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_train_and_eval_normalise_alike(tmp_path):
    """eval takes the numbers of the training, which measured them, whatever images it is given."""
    whole = digits()
    contents = {"train_images": whole.train_images[..., 0] * 255, "train_labels": whole.train_labels}
    contents |= {"test_images": whole.test_images[..., 0] * 255, "test_labels": whole.test_labels}
    contents |= {name: contents[name].astype(np.uint8) for name in contents if name.endswith("images")}
    path = write(tmp_path / "own.npz", contents)
    options = ["--normalise", "data", "--model", "cnn", "--epochs", "2", "--batch", "128", "--out", str(tmp_path / "train")]
    assert call("train", "--data", path, *options) == 0
    reported = json.loads((tmp_path / "train" / "metrics.json").read_text())
    assert reported["normalisation"]["scale"] == 255
    other = contents | {name: contents[name][:50] for name in ("train_images", "train_labels")}  # measures as something else
    for file in (path, write(tmp_path / "other.npz", other)):
        assert call("eval", str(tmp_path / "train" / "weights.npz"), "--data", file, "--out", str(tmp_path / "eval")) == 0
        assert json.loads((tmp_path / "eval" / "eval.json").read_text())["test_accuracy"] == reported["test_accuracy"]


def test_a_network_that_was_trained_on_random_images_is_tested_on_the_same(tmp_path, capsys):
    """Those of its shape that the seed gives, without being asked for, or by name."""
    out = str(tmp_path / "train")
    assert call("train", "--data", "random", "--model", "mlp", "--epochs", "1", "--seed", "3", "--out", out, "--json") == 0
    reported = json.loads(capsys.readouterr().out)
    for more in ([], ["--data", "random"]):
        assert call("eval", f"{out}/weights.npz", *more, "--json", "--out", str(tmp_path / "eval")) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["data"] == "random" and found["test_accuracy"] == reported["test_accuracy"]
