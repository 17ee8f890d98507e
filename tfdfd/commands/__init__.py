"""The `tfdfd` command, one module a subcommand."""
