"""The systolic array: processing elements, their sequencers, and the engine that they make."""
