"""Curves of a training by what they draw."""

import pytest

from training.curves import draw_curves, figure_of

EPOCHS = [
    {"epoch": 1 + number, "train_loss": 2.0 / (1 + number), "train_accuracy": 0.1 * number, "test_accuracy": 0.05 * number}
    for number in range(3)
]


@pytest.mark.parametrize(("count", "marker"), [(1, "o"), (2, "o"), (3, "")])
def test_loss_and_accuracies_stand_over_epochs(count, marker):
    loss, accuracy = figure_of(EPOCHS[:count], "mlp").axes
    (falling,) = loss.lines
    training, test = accuracy.lines
    for line, values in ((falling, (2, 1, 2 / 3)), (training, (0, 10, 20)), (test, (0, 5, 10))):
        assert list(line.get_xdata()) == [1, 2, 3][:count]
        assert list(line.get_ydata()) == pytest.approx(values[:count])
        assert line.get_marker() in ({marker} if marker else {"", "None"})
    assert [line.get_label() for line in (training, test)] == ["training", "test"]
    assert (loss.get_yscale(), loss.get_ylabel(), accuracy.get_ylabel()) == ("log", "training loss", "accuracy, %")


def test_the_picture_is_a_png_with_the_same_bytes_again():
    assert draw_curves(EPOCHS, "mlp").startswith(b"\x89PNG")
    assert draw_curves(EPOCHS, "mlp") == draw_curves(EPOCHS, "mlp")
