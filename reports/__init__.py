"""Result objects made visible: a page to look at, plots, tables.

::

    result (plain data) ──> step ──────> sections ──┐
                                          │ tables  ├──> html.render ──> report.html, one file, opens offline
    co-simulation, accuracy, curves ──> sections ───┘
                       │ charts (SVG), units, colours
                       ├──> plots ─────> PNG and SVG (matplotlib)
                       ├──> trace ─────> timeline.json for the Perfetto viewer
                       ├──> studies ───> pages on several networks
                       └──> files ─────> report.json, layers.csv and the others, whole or not at all

report.json holds to `schema/report.schema.json`.
Templates, style and the table sorter are in `templates/`; nothing is loaded from a network.
"""
