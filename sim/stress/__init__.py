"""What the RTL is tried with: random steps, faults, changed command words, all values; and what of it was reached."""
