"""Generated code; see proto/. Never edited by hand."""
