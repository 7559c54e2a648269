"""A simulated world around the pipeline: its time, its chance, its providers and its stores."""
