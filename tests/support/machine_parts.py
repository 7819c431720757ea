"""Parts of the machine alone, see ``parts.cpp``."""

import ctypes
import json
from functools import cache
from pathlib import Path

from dataflow.machine.native import array, make
from dataflow.machine.numbers import flat, numbers, sizes

END_OF_BLOCK, LAST = 8, 16  # bits of a chunk


@cache
def parts():
    return ctypes.CDLL(str(make(Path(__file__).with_name("parts.cpp"))))


def told(name, config, *arguments):
    function = getattr(parts(), name)
    function.restype = ctypes.c_char_p
    made = [ctypes.c_int64(each) if isinstance(each, int) else array(list(each)) for each in arguments]
    return json.loads(function(array(list(sizes(config).values())), *made))


def rows_of(config, walk, most, *, ends=True):
    return told("rows_of", config, flat(walk), most, int(ends))


def rows_same(config, walk, most, questions):
    return told("rows_same", config, flat(walk), most, [each for question in questions for each in question], len(questions))


def rows_wrong(config, walk, most, *, ends):
    of_config, of_walk = (array(list(each)) for each in (sizes(config).values(), flat(walk)))
    return parts().rows_wrong(of_config, of_walk, ctypes.c_int64(most), ctypes.c_int64(ends))


def copies(config, memory, walks, most):
    every = [walks[f"{kind}_{number}"] for kind in ("read", "write") for number in range(2)]
    told_walks = [number for these in every for walk in these for number in flat(walk)]
    return told("copies", config, [memory.latency_cycles, memory.interval_cycles], told_walks, map(len, every), most)


def sums(config, commands, chunks):
    """`commands`: products, passes, loads of weights and of activations; `chunks`: of both."""
    streams = [numbers(config, these) for these in commands] + list(chunks)
    return told("sums", config, [number for stream in streams for number in stream], map(len, streams))
