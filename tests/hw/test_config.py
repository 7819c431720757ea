import re

import pytest

from hw.config import PRESETS, AcceleratorConfig, load_config
from hw.errors import InputError
from hw.isa.checks import check_sat
from hw.ratio import Ratio, parse_ratio


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows = 4\ncolumns = 0\n", ":2: columns: input should be greater than or equal to 1, not 0"),
        ("rows = 4\ncolumns = 4.5\n", ":2: columns: input should be a valid integer, not 4.5"),
        ("rows = 4\n", ": columns: is required"),
        ("rows = 4\ncolumns = 4\n\nlanes = 9\n", ":4: lanes: no such field; allowed: name, rows, columns"),
        ("rows = 4\ncolumns = 4\nmax_group = 9\n", ":3: max_group: max_group must be 2, 4, 8, 16 or 32, not 9"),
        ('rows = 4\ncolumns = 4\nstorage = "binary32"\n', ":3: storage: storage must be one of binary16"),
        ('rows = 4\ncolumns = 4\nuspe_core = "fast"\n', ":3: uspe_core: uspe_core must be generic or dsp48e2, not 'fast'"),
        (
            'rows = 4\ncolumns = 4\nuspe_core = "dsp48e2"\nstorage = "bfloat16"\n',
            ":4: storage: storage must be one of binary16, float8_e4m3, float8_e4m3fn, float8_e5m2 with uspe_core dsp48e2, "
            "not 'bfloat16'",
        ),
        (
            'rows = 4\ncolumns = 4\nadd_latency_cycles = 3\nuspe_core = "dsp48e2"\n',
            ":3: add_latency_cycles: add_latency_cycles must be 4 with uspe_core dsp48e2, not 3",
        ),
        ("rows = 4\ncolumns = 4\ndram_channels = 3\n", ":3: dram_channels: dram_channels must be 1, 2 or 4, not 3"),
        (
            "rows = 4\ncolumns = 4\ndram_channel_bytes_per_second = 3.3e9\n",
            ":3: dram_channel_bytes_per_second: dram_channel_bytes_per_second must be in 1000..3.2e+09, which is a "
            "beat of 64 bits each way in every cycle, or 0, which stands for that, not 3.3e+09",
        ),
        ("rows = \n", "line 1"),
    ],
)
def test_a_wrong_file_is_told_with_line_and_field(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_config(str(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_of_the_same_fields_is_the_preset(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text("rows = 4\ncolumns = 4\n")
    assert load_config(str(path)) == PRESETS["tiny"]


@pytest.mark.parametrize("name", ["nothing", "missing.toml"])
def test_an_unknown_configuration_names_the_allowed(name):
    with pytest.raises(InputError, match=r"tiny, small, medium, vcu1525|cannot be read"):
        load_config(name)


def test_a_ratio_beyond_the_elaborated_group_is_refused():
    config = AcceleratorConfig(name="g4", rows=1, columns=1, max_group=4)
    config.check_ratio(Ratio(2, 4))
    with pytest.raises(InputError, match="needs groups of 8, but g4 is elaborated for max_group = 4"):
        config.check_ratio(Ratio(2, 8))


@pytest.mark.parametrize("text", ["2", "2:", "8:2", "0:4", "2:0", "a:b", "-1:4", ""])
def test_a_wrong_ratio_is_refused(text):
    with pytest.raises(InputError, match="ratio"):
        parse_ratio(text)


def test_ratios_count_kept_elements_of_ragged_axes():
    ratio = parse_ratio("2:8")
    assert (ratio.groups(17), ratio.kept(17), ratio.index_bits, str(ratio)) == (3, 6, 3, "2:8")
    assert parse_ratio("dense").is_dense


def test_a_burst_may_fill_the_fifo_and_no_more():
    AcceleratorConfig(name="c", rows=1, columns=1, axi_burst_beats=16, axi_fifo_beats=16)
    with pytest.raises(ValueError, match="axi_fifo_beats must be at least axi_burst_beats, 16, not 15"):
        AcceleratorConfig(name="c", rows=1, columns=1, axi_burst_beats=16, axi_fifo_beats=15)


@pytest.mark.parametrize(
    "text", ["clock_hz = inf", "clock_hz = 1e-300", "clock_hz = nan", "axi_fifo_beats = 4611686018427387904"]
)
def test_fields_have_finite_ranges(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(f"rows = 4\ncolumns = 4\n{text}\n")
    with pytest.raises(InputError, match=f":3: {text.split()[0]}: "):
        load_config(str(path))


@pytest.mark.parametrize(
    "text, most", [("rows = 1025", "1,024"), ("clock_hz = 1e30\nrows = 4", "100,000,000,000"), ("rows = 1" + 40 * "0", "1,024")]
)
def test_what_is_too_large_is_told_with_the_most(tmp_path, text, most):
    path = tmp_path / "mine.toml"
    path.write_text(f"{text}\ncolumns = 4\n")
    with pytest.raises(InputError, match=rf": {text.split()[0]}: .* is too large: at most {most}$"):
        load_config(str(path))


@pytest.mark.parametrize("bits", [64, 128, 256, 512])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_memory_moves_what_its_ports_do_and_no_more(bits, channels):
    """A beat each way in a cycle and port; a channel may be slower than its port, and never faster."""
    ports = {"rows": 4, "columns": 4, "axi_data_bits": bits, "dram_channels": channels, "clock_hz": 1e8}
    most = 2 * bits / 8 * 1e8
    assert AcceleratorConfig(name="a", **ports).dram_bytes_per_cycle == channels * bits / 4
    assert (
        AcceleratorConfig(name="a", **ports, dram_channel_bytes_per_second=most / 2).dram_bytes_per_cycle == channels * bits / 8
    )
    with pytest.raises(ValueError, match="dram_channel_bytes_per_second must be in 1000"):
        AcceleratorConfig(name="a", **ports, dram_channel_bytes_per_second=most * 1.001)


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_can_be_built_whole(name):
    check_sat(PRESETS[name])
