"""From a network to a program: one training step, forward and backward."""
