"""On the Python path of TorchServe, for its collector of system metrics."""
