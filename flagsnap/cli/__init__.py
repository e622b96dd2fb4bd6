"""The command line: a file a command, each a table of options and a few lines. `app` composes them."""
