"""The doors over real gRPC on unix sockets."""
