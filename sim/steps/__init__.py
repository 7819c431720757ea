"""Programs and whole training steps on the RTL, beside NumPy and the machine."""
