"""The verbs of `lanectl`, one a module: each exports `command`."""
