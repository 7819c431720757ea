"""From a program to the accelerator's commands: where tensors stand, how they are walked, what waits for what."""
