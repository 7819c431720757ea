"""What blocks of the accelerator are made of, and the layouts of the words that they pass to each other.

::

    layouts     commands as signals; words of weights and of sums
"""
