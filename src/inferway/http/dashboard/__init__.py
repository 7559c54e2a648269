"""The dashboard: pages made on the server, which do what the API does and nothing else."""
