"""The accelerator as a whole: its units between memory and array, dispatch, control, and the top."""
