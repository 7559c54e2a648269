"""The engines: one module each, imported only inside the child process that runs it."""
