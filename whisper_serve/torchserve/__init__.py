"""TorchServe around the handler: packing archives, keeping the server running, talking to it.

Nothing here runs inside a TorchServe worker, and importing this package imports none of its needs: each
module imports its own.
"""
