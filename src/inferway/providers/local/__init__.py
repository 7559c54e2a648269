"""Small models that run on this machine, in child processes, behind one engine interface."""
