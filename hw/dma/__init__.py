"""Memory access: walks become bursts, beats become elements.

::

    walk ──> walker ──requests──> splitter ──bursts──> port ──> AXI4 AR          one reader a stream that is read
                └─────chunks─────────────> aligner <──beats─── port <── AXI4 R
    walk ──> walker ──requests──> splitter ──bursts──> port ──> AXI4 AW          one writer a stream that is written
    words ──────────> assembler ──beats──────────────> port ──> AXI4 W
"""
