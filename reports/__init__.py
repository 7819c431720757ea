"""Result objects made visible: a page to look at, plots, tables.

::

    result (plain data) ──> estimate ──> sections ──┐
                                          │ tables  ├──> html.render ──> report.html, one file, opens offline
    co-simulation, accuracy, curves ──> sections ───┘
                       │ charts (SVG), units, colours
                       ├──> plots ─────> PNG (matplotlib)
                       └──> files ─────> report.json, layers.csv and the others, whole or not at all

Templates, style and the table sorter are in `templates/`; nothing is loaded from a network.
"""
