"""Administration over HTTP: who may call, and what belongs to whom."""
