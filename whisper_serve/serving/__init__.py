"""TorchServe and the gateway under one supervisor."""
